use proptest::prelude::*;

use super::*;
use crate::source::Chunk;

fn head() -> impl Strategy<Value = JobHead> {
    any::<(u64, u64, u64, u64, bool, Vec<u8>)>().prop_map(|(cluster, number, topology, sinks, strict, parameters)| {
        JobHead { job: JobId { cluster, number }, topology, sinks: Sinks(sinks), strict, parameters }
    })
}

fn part() -> impl Strategy<Value = (PartMeta, Vec<u8>)> {
    let place = any::<(u16, u16, u16)>().prop_map(|(port, origin, shard)| (Port(port), Stream { origin, shard }));
    let counts = prop::collection::vec(
        any::<(u16, u64, u64, u64)>().prop_map(|(operator, rows_in, rows_out, rejected)| Count {
            operator,
            rows_in,
            rows_out,
            rejected,
        }),
        0..4,
    );
    let loss = any::<(u16, u16, u64, String)>().prop_map(|(origin, shard, seq, reason)| Loss {
        stream: Stream { origin, shard },
        seq,
        reason,
    });
    let meta = prop_oneof![
        (place.clone(), any::<(u64, u32)>(), counts.clone())
            .prop_map(|((port, stream), (seq, rows), counts)| PartMeta::Rows { port, stream, seq, rows, counts }),
        (place.clone(), prop::collection::vec(0..1000u64, 0..20)).prop_map(|((port, stream), numbers)| {
            let mut seqs = Coverage::new();
            numbers.into_iter().for_each(|seq| {
                seqs.insert(seq);
            });
            PartMeta::Empty { port, stream, seqs }
        }),
        (place.clone(), any::<u64>(), counts, prop::option::of(loss.clone())).prop_map(
            |((port, stream), batches, counts, failed)| PartMeta::End { port, stream, batches, counts, failed }
        ),
        (place, loss).prop_map(|((port, _), loss)| PartMeta::Lost { port, loss }),
    ];
    (meta, any::<Vec<u8>>())
}

type OwnedPart = (PartMeta, Vec<u8>);

fn read_all(bytes: &[u8]) -> Result<(JobHead, Vec<OwnedPart>), crate::codec::DecodeError> {
    let mut reader = FrameReader::new(bytes)?;
    let mut parts = Vec::new();
    while let Some(part) = reader.part()? {
        parts.push((part.meta, part.payload.to_vec()));
    }
    Ok((reader.head()?, parts))
}

fn write(head: &JobHead, parts: &[(PartMeta, Vec<u8>)]) -> Vec<u8> {
    let mut writer = FrameWriter::new(head, Vec::new()).unwrap();
    for (meta, payload) in parts {
        writer.part(meta, payload).unwrap();
    }
    writer.finish()
}

proptest! {
    #[test]
    fn a_frame_comes_back(head in head(), parts in prop::collection::vec(part(), 0..6)) {
        let bytes = write(&head, &parts);
        prop_assert_eq!(read_all(&bytes)?, (head, parts));
    }

    #[test]
    fn a_cut_frame_is_an_error_or_ends_at_a_part(head in head(), parts in prop::collection::vec(part(), 1..4), cut: prop::sample::Index) {
        let bytes = write(&head, &parts);
        if let Ok((_, read)) = read_all(&bytes[..cut.index(bytes.len())]) {
            prop_assert!(read.len() < parts.len());
            prop_assert_eq!(&read[..], &parts[..read.len()]);
        }
    }

    #[test]
    fn mutated_frames_never_panic(head in head(), parts in prop::collection::vec(part(), 0..4), flips in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..8)) {
        let mut bytes = write(&head, &parts);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        let _ = read_all(&bytes);
    }

    #[test]
    fn any_bytes_are_safe(bytes: Vec<u8>) {
        let _ = read_all(&bytes);
        let _ = read_all(&[&[FORMAT], bytes.as_slice()].concat());
        let _ = Chunk::decode(&bytes);
    }

    #[test]
    fn a_chunk_comes_back(file: u32, first_line in 0..u64::MAX / 2, header: Vec<u8>, data: Vec<u8>) {
        let mut payload = data.clone();
        ChunkMeta { file, first_line, header: &header }.append(&mut payload)?;
        let chunk = Chunk::decode(&payload)?;
        prop_assert_eq!((chunk.file, chunk.first_line, chunk.header, chunk.data), (file, first_line, &header[..], &data[..]));
    }
}

#[test]
fn a_length_beyond_the_end_allocates_nothing() {
    let mut bytes = write(
        &JobHead { job: JobId::default(), topology: 0, sinks: Sinks::ALL, strict: false, parameters: vec![] },
        &[],
    );
    bytes.extend_from_slice(&[255; 8]);
    assert_eq!(read_all(&bytes), Err(crate::codec::DecodeError::Truncated));
}

#[test]
fn a_chunk_whose_lines_have_no_numbers_is_refused() {
    let decoded = |first_line| {
        let mut payload = b"1\n2\n".to_vec();
        ChunkMeta { file: 0, first_line, header: b"h" }.append(&mut payload).unwrap();
        Chunk::decode(&payload).map(|chunk| chunk.lines().count())
    };
    assert_eq!(decoded(u64::MAX - 5), Ok(2));
    assert_eq!(decoded(u64::MAX), Err(crate::codec::DecodeError::Unknown("lines")));
    assert_eq!(decoded(u64::MAX - 4), Err(crate::codec::DecodeError::Unknown("lines")));
}

#[test]
fn another_version_is_said() {
    assert_eq!(
        FrameReader::new(&[FORMAT + 1, 0, 0, 0, 0]).map(|_| ()),
        Err(crate::codec::DecodeError::Version { found: FORMAT + 1 })
    );
}
