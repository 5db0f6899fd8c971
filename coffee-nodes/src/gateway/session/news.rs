//! What a session has to tell its client: the latest, not every step on the way.

use super::{Phase, Session, State, Table, Told};
use crate::{job::JobState, wire::ToClient};

/// What the client is to be told now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::gateway) struct News {
    pub messages: Vec<ToClient>,
    /// Whether the connection closes with it.
    pub last: bool,
}

impl Session {
    /// What has changed since the last call.
    pub fn news(&self) -> News {
        let mut state = self.state();
        let mut news = News::default();
        state.tell(&mut news);
        news
    }
}

impl State {
    fn tell(&mut self, news: &mut News) {
        let State { phase, tables, told, work, results_asked, .. } = self;
        match phase {
            Phase::Waiting { before } if *told != Told::Waiting(*before) => {
                news.messages.push(ToClient::Waiting { before: *before });
                *told = Told::Waiting(*before);
            }
            Phase::Waiting { .. } => {}
            Phase::Running => {
                tell_marks(tables, told, false, news);
                if std::mem::take(&mut work.1) {
                    news.messages.push(ToClient::Work { stages: work.0.clone() });
                }
            }
            _ if *told == Told::End => {}
            Phase::Ended(JobState::Done) => {
                // All had arrived: also what an earlier session had got confirmed and not noted any more.
                tell_marks(tables, told, true, news);
                *told = Told::End;
            }
            Phase::Ended(ended) => {
                if !*results_asked {
                    news.messages.push(ToClient::Ended { state: ended.clone(), counts: Vec::new() });
                }
                *told = Told::End;
            }
            Phase::Over(refused) => {
                news.messages.push(refused.clone().message());
                news.last = true;
                *told = Told::End;
            }
        }
    }
}

/// All marks at first, then those that have changed; of a job that is done every table is finished.
fn tell_marks(tables: &mut [Table], told: &mut Told, done: bool, news: &mut News) {
    let begun = std::mem::replace(told, Told::Started) == Told::Started;
    let mut marks = Vec::new();
    for table in tables {
        let mark = table.progress.mark_of(done);
        // One that is to be told again is told once it is finished again.
        let changed = table.told.map_or(mark.finished, |told| told != mark);
        if begun && changed {
            news.messages.push(ToClient::Acked { table: mark.table, next: mark.next, finished: mark.finished });
        }
        if changed || !begun {
            table.told = Some(mark);
        }
        marks.push(mark);
    }
    if !begun {
        news.messages.push(ToClient::Started { marks });
    }
}
