//! Fields of a configuration.

use serde_json::Value;

use super::HuggingFaceError;
use crate::model::ShapeError;

/// A JSON object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a Value);

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a Value) -> Self {
        Self(object)
    }

    /// An object inside, or nothing where it is absent.
    pub(super) fn inside(&self, field: &str) -> Option<Fields<'a>> {
        self.0.get(field).filter(|value| value.is_object()).map(Fields)
    }

    /// A positive integer.
    pub(super) fn required(&self, field: &'static str) -> Result<u32, HuggingFaceError> {
        self.optional(field)?.ok_or(HuggingFaceError::Missing { field })
    }

    /// The first of two names that is there: some architectures changed theirs.
    pub(super) fn either(&self, field: &'static str, older: &'static str) -> Result<u32, HuggingFaceError> {
        match self.optional(field)? {
            Some(number) => Ok(number),
            None => self.optional(older)?.ok_or(HuggingFaceError::Missing { field }),
        }
    }

    /// A positive integer, or nothing where the field is absent or null.
    pub(super) fn optional(&self, field: &'static str) -> Result<Option<u32>, HuggingFaceError> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => positive(field, value).map(Some),
        }
    }

    /// A positive integer or a default.
    pub(super) fn or(&self, field: &'static str, default: u32) -> Result<u32, HuggingFaceError> {
        Ok(self.optional(field)?.unwrap_or(default))
    }

    /// A count that may be 0.
    pub(super) fn count(&self, field: &'static str, default: u32) -> Result<u32, HuggingFaceError> {
        match self.0.get(field) {
            Some(value) if value.as_u64() == Some(0) => Ok(0),
            _ => self.or(field, default),
        }
    }

    /// A list of positive integers.
    pub(super) fn list(&self, field: &'static str) -> Result<Vec<u32>, HuggingFaceError> {
        let list = self.0.get(field).and_then(Value::as_array).ok_or(HuggingFaceError::Missing { field })?;
        list.iter().map(|value| positive(field, value)).collect()
    }

    /// The same, for what is built layer by layer: at most 4096.
    pub(super) fn depths(&self, field: &'static str) -> Result<Vec<u32>, HuggingFaceError> {
        let depths = self.list(field)?;
        depths.iter().try_for_each(|depth| bounded(field, *depth))?;
        bounded(field, u32::try_from(depths.len()).unwrap_or(u32::MAX))?;
        Ok(depths)
    }

    /// A positive integer of at most 4096.
    pub(super) fn depth(&self, field: &'static str) -> Result<u32, HuggingFaceError> {
        let depth = self.required(field)?;
        bounded(field, depth)?;
        Ok(depth)
    }

    /// A flag or a default.
    pub(super) fn flag(&self, field: &str, default: bool) -> bool {
        self.0.get(field).and_then(Value::as_bool).unwrap_or(default)
    }

    /// A text, or nothing.
    pub(super) fn text(&self, field: &str) -> Option<&'a str> {
        self.0.get(field).and_then(Value::as_str)
    }

    /// Whether the checkpoint's class ends with a word, such as `ForMaskedLM`.
    pub(super) fn built_as(&self, suffix: &str) -> bool {
        let classes = self.0.get("architectures").and_then(Value::as_array);
        classes.is_some_and(|all| all.iter().filter_map(Value::as_str).any(|class| class.ends_with(suffix)))
    }

    /// Classes of a classifier: as many as have a label, 2 unless said.
    pub(super) fn labels(&self) -> Result<u32, HuggingFaceError> {
        match self.0.get("id2label").and_then(Value::as_object) {
            Some(labels) => Ok(u32::try_from(labels.len()).unwrap_or(u32::MAX)),
            None => self.or("num_labels", 2),
        }
    }
}

/// What is built layer by layer has a bound.
fn bounded(field: &'static str, value: u32) -> Result<(), HuggingFaceError> {
    if value <= 4096 {
        return Ok(());
    }
    let error = ShapeError::Range { field, value: f64::from(value), least: 1.0, most: 4096.0 };
    Err(HuggingFaceError::Shape(error))
}

fn positive(field: &'static str, value: &Value) -> Result<u32, HuggingFaceError> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| HuggingFaceError::Field { field, value: value.to_string().chars().take(40).collect() })
}

/// `value / divisor`.
pub(super) fn divided(
    field: &'static str,
    value: u32,
    divisor_field: &'static str,
    divisor: u32,
) -> Result<u32, HuggingFaceError> {
    if divisor > 0 && value.is_multiple_of(divisor) {
        Ok(value / divisor)
    } else {
        Err(HuggingFaceError::Divide { field, value, divisor_field, divisor })
    }
}
