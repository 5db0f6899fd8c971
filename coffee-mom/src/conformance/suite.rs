//! From the list of cases to tests.

/// Makes a module of tests, one a case: `conformance_suite!(MODULE, SUBJECT)` those that all brokers
/// promise, `conformance_suite!(MODULE, SUBJECT, Feature, ...)` also those that need these features.
///
/// `SUBJECT` is an expression of a [`Subject`](crate::conformance::Subject), evaluated for each test.
/// One more test fails if the subject declares other features than those that are named, so no case
/// is left out in silence.
#[macro_export]
macro_rules! conformance_suite {
    ($module:ident, $subject:expr $(, $feature:ident)* $(,)?) => {
        mod $module {
            #[allow(unused_imports, reason = "the subject may need any of them")]
            use super::*;

            #[test]
            fn the_features_are_those_that_are_declared() {
                use $crate::conformance::{Features, Subject};
                let named = Features::default()$(.with($crate::conformance::Feature::$feature))*;
                assert_eq!(Subject::features(&$subject), named);
            }

            $crate::__conformance_cases!([$crate::__conformance_tests], All, $subject);
            $($crate::__conformance_cases!([$crate::__conformance_tests], $feature, $subject);)*
        }
    };
}

/// The tests of the cases that need one feature.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ((All, $subject:expr) All { $($number:literal $name:ident($($path:tt)*): $promise:literal)* } $($others:tt)*) => {
        $(#[test]
        #[doc = $promise]
        fn $name() -> ::std::result::Result<(), $crate::conformance::Failure> {
            $crate::conformance::run_case(&$subject, $number)
        })*
    };
    ((Control, $subject:expr) All { $($all:tt)* } Control { $($cases:tt)* } $($others:tt)*) => {
        $crate::__conformance_tests! { (All, $subject) All { $($cases)* } }
    };
}
