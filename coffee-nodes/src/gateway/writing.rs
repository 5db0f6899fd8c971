//! The thread that writes to a client: answers, pieces, the session's news, and pings when there is nothing else.

use std::time::{Duration, Instant};

use crossbeam_channel::select;

use super::post::{Letter, Letters, Post};
use crate::wire::{Sender, ToClient, WireError};

/// Writes until the connection closes, then the last word.
pub(super) fn write(mut sender: Sender, letters: &Letters, post: &Post, ping: Duration) {
    if let Err(error) = write_all(&mut sender, letters, post, ping) {
        log::debug!("a client can't be written to: {error}");
        post.close(None);
        sender.shutdown(); // so that the thread that reads does not wait for it
    }
}

fn write_all(sender: &mut Sender, letters: &Letters, post: &Post, ping: Duration) -> Result<(), WireError> {
    let mut pings = Instant::now() + ping;
    while !post.closed().is_triggered() {
        select! {
            recv(letters.letters) -> letter => if let Ok(letter) = letter { put(sender, &letter)? },
            recv(letters.news) -> _ => {}
            recv(post.closed().receiver()) -> _ => {}
            default(pings.saturating_duration_since(Instant::now())) => sender.put(&ToClient::Ping)?,
        }
        put_rest(sender, letters, post)?;
        sender.flush()?;
        pings = Instant::now() + ping;
    }
    put_rest(sender, letters, post)?;
    if let Some(word) = post.last_word() {
        sender.put(&word.message())?;
    }
    sender.finish()
}

/// All that is ready.
fn put_rest(sender: &mut Sender, letters: &Letters, post: &Post) -> Result<(), WireError> {
    for letter in letters.letters.try_iter() {
        put(sender, &letter)?;
    }
    let Some(session) = post.session() else { return Ok(()) };
    let news = session.news();
    for message in &news.messages {
        sender.put(message)?;
    }
    if news.last {
        post.close(None);
    }
    Ok(())
}

fn put(sender: &mut Sender, letter: &Letter) -> Result<(), WireError> {
    let Letter { message, payload } = letter;
    if payload.is_empty() { sender.put(message) } else { sender.send(message, payload) }
}
