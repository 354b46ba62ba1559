//! Small steps through raw JSON that fail with the name of the place. Pure.

use serde_json::{Map, Value, json};

use super::BuildError;

/// The object at `key`, made when it is not there.
pub(super) fn object<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
    place: &'static str,
) -> Result<&'a mut Map<String, Value>, BuildError> {
    let value = parent.entry(key).or_insert_with(|| json!({}));
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or(BuildError::Form(place))
}

/// The list at `key`, made when it is not there.
pub(super) fn list<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
    place: &'static str,
) -> Result<&'a mut Vec<Value>, BuildError> {
    let value = parent.entry(key).or_insert_with(|| json!([]));
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut().ok_or(BuildError::Form(place))
}
