//! An error with its causes, as one sentence. Pure.

use std::error::Error;

/// An error and what it came from, joined by colons. A cause that its effect repeats already is left out.
pub fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// What a failed call to the apiserver says: its own sentence where there is one.
pub fn refusal(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        error => sentence(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to apply pod a")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn a_cause_follows_its_effect() {
        let cause = "x".parse::<u8>().unwrap_err();
        assert_eq!(sentence(&Outer(cause)), "failed to apply pod a: invalid digit found in string");
    }
}
