//! What a broker has to give to be tested.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::broker::Broker;
use crate::name::Name;

use super::case::Case;
use super::control::{Control, Wishes};
use super::failure::Failure;

/// A broker under test. Several cases may use it at once.
pub trait Subject: Send + Sync {
    /// A new connection. All connections of a subject lead to the same broker.
    ///
    /// # Errors
    /// [`Failure`]: the case fails, a missing broker included.
    fn connect(&self) -> Result<Arc<dyn Broker>, Failure>;

    /// What it can do besides what all brokers can.
    fn features(&self) -> Features;

    /// A broker of the same kind for one case alone, to be stopped, killed and choked; for subjects
    /// that declare [`Feature::Control`].
    ///
    /// # Errors
    /// [`Failure`].
    fn control(&self, wishes: &Wishes) -> Result<Box<dyn Control>, Failure> {
        let _ = wishes;
        Err(Failure::new("the subject gives no control over a broker"))
    }

    /// How many descriptors a case may leave behind at the most; for defects of libraries that the
    /// subject can't help. None unless it says so.
    fn strays(&self, case: &Case) -> usize {
        let _ = case;
        0
    }

    /// A name that begins with a number, holds `text`, and is unlike all others, also of other runs. What
    /// is declared under it is deleted after the case.
    ///
    /// # Errors
    /// [`Failure`] if the text is too long.
    fn name(&self, text: &str) -> Result<Name, Failure> {
        unlike_all_others(text)
    }
}

fn unlike_all_others(text: &str) -> Result<Name, Failure> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    Ok(Name::new(&format!("{number:x}.{text}.{:x}.{time:x}", std::process::id()))?)
}

/// Something that not every broker can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// A broker outside of the process can be stopped, killed, choked and cut off: [`Subject::control`].
    Control,
}

/// What a broker declares that it can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    control: bool,
}

impl Features {
    /// Adds one.
    #[must_use]
    pub fn with(mut self, feature: Feature) -> Self {
        match feature {
            Feature::Control => self.control = true,
        }
        self
    }

    /// Whether it is declared.
    #[must_use]
    pub fn has(self, feature: Feature) -> bool {
        match feature {
            Feature::Control => self.control,
        }
    }
}
