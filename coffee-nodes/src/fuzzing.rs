//! Targets for fuzzers: functions of any bytes that fail by a panic where a decoder or parser breaks a promise. With the
//! feature `fuzzing` alone, and no part of the API. Those that see what is private are beside it.

#![expect(clippy::unwrap_used, reason = "a target fails by a panic")]

use coffee_core::fuzzing::{Target, decoded, parsed};

use crate::{
    access::fuzzing::tokens,
    chaos::{Action, fuzzing::container},
    cluster::{Control, QueryError, QueryReply, QueryRequest, ResultsError, ResultsReply, ResultsRequest},
    generate::Month,
    input::fuzzing::file,
    monitor::{self, Datagram, Key, Peer},
    query, results,
    runner::DeadLetter,
    sales::Queries,
    store::fuzzing::attempts,
    up::{NodeLine, NodeRole, NodeState},
    wire::fuzzing::{from_client, from_gateway},
    worker,
};

/// The targets of this crate.
pub const TARGETS: &[Target] = &[
    ("wire_client", from_client),
    ("wire_gateway", from_gateway),
    ("calls", calls),
    ("stored", stored),
    ("attempts", attempts),
    ("datagram", datagram),
    ("tokens", tokens),
    ("file", file),
    ("words", words),
];

/// What the processes of a cluster say to each other by the broker: of which kind, then the message.
fn calls(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 8 {
        0 => drop(decoded::<QueryRequest>(bytes)),
        1 => drop(decoded::<QueryReply>(bytes)),
        2 => drop(decoded::<QueryError>(bytes).map(|error| error.to_string())),
        3 => drop(decoded::<ResultsRequest>(bytes)),
        4 => drop(decoded::<ResultsReply>(bytes)),
        5 => drop(decoded::<ResultsError>(bytes).map(|error| error.to_string())),
        6 => drop(decoded::<Control>(bytes)),
        _ => worker::fuzzing::said(bytes),
    }
}

/// What nodes keep on disk, and put aside: of which kind, then the record.
fn stored(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 5 {
        0 => query::fuzzing::minted(bytes),
        1 => query::fuzzing::progress(bytes),
        2 => results::fuzzing::kept(bytes),
        3 => results::fuzzing::arrived(bytes),
        _ => drop(decoded::<DeadLetter>(bytes)),
    }
}

/// What monitors are sent, behind version and key.
fn datagram(bytes: &[u8]) {
    let [key, other] = ["7", "8"].map(|digit| digit.repeat(32).parse::<Key>().unwrap());
    let head = monitor::encode(key, &Datagram::Leading(0)).unwrap()[..17].to_vec();
    let bytes = [&head, bytes].concat();
    assert_eq!(monitor::decode(other, &bytes), None, "it has another key");
    if let Some(datagram) = monitor::decode(key, &bytes) {
        // Its own encoding is no longer than the one that it came in, but that may be too long to be sent.
        match monitor::encode(key, &datagram) {
            Some(encoded) => assert_eq!(monitor::decode(key, &encoded), Some(datagram)),
            None => assert!(bytes.len() > 1200),
        }
    }
}

/// Words of command lines, and lines of files and of what Docker says.
fn words(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    parsed::<Peer>(text);
    parsed::<Month>(text);
    parsed::<Queries>(text);
    parsed::<Action>(text);
    parsed::<NodeState>(text);
    parsed::<NodeRole>(text);
    parsed::<NodeLine>(text);
    container(text);
    if let Ok(key) = text.parse::<Key>() {
        assert!(key.secret().eq_ignore_ascii_case(text));
        assert!(!format!("{key:?}").contains(text));
    }
}
