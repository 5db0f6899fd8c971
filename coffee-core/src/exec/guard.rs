//! Calls into operators, whose panic is an error of the batch that they had in hand.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::ExecError;

/// Calls something that runs an operator's own code.
///
/// What a panicking operator leaves behind may be half done: whoever gets the error drops it and uses it no more.
pub(crate) fn guarded<T>(call: impl FnOnce() -> Result<T, ExecError>) -> Result<T, ExecError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(ExecError::Panicked(words(&*panic))))
}

/// The most bytes that are kept of it: it travels with every frame that lacks the batch.
const LONGEST: usize = 1024;

/// What it said: mostly text.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word");
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        assert!(matches!(guarded(|| Ok(7)), Ok(7)));
        let text = |call: fn() -> Result<(), ExecError>| guarded(call).unwrap_err().to_string();
        assert_eq!(text(|| panic!("on purpose")), "it panicked: on purpose");
        assert_eq!(text(|| panic!("{} times", 7)), "it panicked: 7 times");
        assert_eq!(text(|| std::panic::panic_any(7)), "it panicked: without a word");
        assert!(text(|| panic!("{}", "ö".repeat(1 << 20))).len() < 2 * LONGEST, "all of a batch, perhaps");
    }
}
