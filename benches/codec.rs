//! Rows and frames to bytes and back; beside them the least that such work can cost: fixed-width rows, and a copy.

#![expect(clippy::expect_used, reason = "a benchmark that can't be set up measures nothing")]

use std::{hint::black_box, time::Duration};

use coffee::core::{
    codec,
    frame::{FrameReader, FrameWriter, JobHead, JobId, PartMeta, Port, Sinks, Stream},
    sales::records::{StoreId, Transaction, UserId},
};
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};

const ROWS: u64 = 8_192;
const PARTS: u64 = 64;
const PART_BYTES: usize = 4 << 10;

/// A row of numbers: the key and partial sum of an aggregation.
type Sum = (u32, i64);

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

fn encoded<T: serde::Serialize>(rows: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    rows.iter().for_each(|row| codec::encode(row, &mut bytes).expect("a row"));
    bytes
}

fn decoded<T: serde::de::DeserializeOwned>(mut bytes: &[u8]) -> u64 {
    let mut rows = 0;
    while !bytes.is_empty() {
        black_box(codec::decode::<T>(&mut bytes).expect("a row"));
        rows += 1;
    }
    rows
}

fn rows(criterion: &mut Criterion) {
    let sums: Vec<Sum> =
        (0..ROWS).map(|n| (n.wrapping_mul(2_654_435_761) as u32, (n * 977 % 1_000_000) as i64)).collect();
    let sales: Vec<Transaction> = (0..ROWS)
        .map(|n| Transaction {
            id: format!("{n:08x}-0000-4000-8000-{n:012x}").as_str().into(),
            store: StoreId(n % 10),
            user: (n % 3 == 0).then_some(UserId(n * 271)),
            amount: "76.095".parse().expect("an amount"),
            at: "2024-03-01 12:34:56".parse().expect("a time"),
        })
        .collect();
    let mut group = group(criterion, "rows");
    group.throughput(Throughput::Elements(ROWS));
    let mut out = Vec::with_capacity(1 << 20);
    group.bench_function("encode (u32, i64)", |bench| {
        bench.iter(|| {
            out.clear();
            sums.iter().for_each(|row| codec::encode(row, &mut out).expect("a row"));
            out.len()
        });
    });
    group.bench_function("encode (u32, i64), fixed width by hand", |bench| {
        bench.iter(|| {
            out.clear();
            for (key, sum) in &sums {
                out.extend_from_slice(&key.to_le_bytes());
                out.extend_from_slice(&sum.to_le_bytes());
            }
            out.len()
        });
    });
    group.bench_function("encode transactions", |bench| {
        bench.iter(|| {
            out.clear();
            sales.iter().for_each(|row| codec::encode(row, &mut out).expect("a row"));
            out.len()
        });
    });
    let (sum_bytes, sale_bytes) = (encoded(&sums), encoded(&sales));
    group.bench_function("decode (u32, i64)", |bench| bench.iter(|| decoded::<Sum>(&sum_bytes)));
    group.bench_function("decode transactions", |bench| bench.iter(|| decoded::<Transaction>(&sale_bytes)));
}

fn frames(criterion: &mut Criterion) {
    let job = JobId { cluster: 1, number: 2 };
    let head = JobHead { job, topology: 3, sinks: Sinks::ALL, strict: false, parameters: vec![7; 32] };
    let payload = vec![7; PART_BYTES];
    let meta = |seq| PartMeta::Rows {
        port: Port(1),
        stream: Stream { origin: 2, shard: 0 },
        seq,
        rows: 100,
        counts: Vec::new(),
    };
    let write = |buffer| {
        let mut frame = FrameWriter::new(&head, buffer).expect("a head");
        (0..PARTS).for_each(|seq| frame.part(&meta(seq), &payload).expect("a part"));
        frame.finish()
    };
    let mut group = group(criterion, "frames of 64 parts of 4 KiB");
    group.throughput(Throughput::Bytes(PARTS * PART_BYTES as u64));
    let mut buffer = write(Vec::new());
    group.bench_function("write", |bench| {
        bench.iter(|| {
            buffer = write(std::mem::take(&mut buffer));
            buffer.len()
        });
    });
    let mut copy = Vec::with_capacity(buffer.len());
    group.bench_function("a bare copy", |bench| {
        bench.iter(|| {
            copy.clear();
            (0..PARTS).for_each(|_| copy.extend_from_slice(black_box(&payload)));
            copy.len()
        });
    });
    let frame = write(Vec::new());
    group.throughput(Throughput::Elements(PARTS));
    group.bench_function("read, parts a second", |bench| {
        bench.iter(|| {
            let mut reader = FrameReader::new(&frame).expect("a frame");
            let mut bytes = reader.head().expect("a head").parameters.len();
            while let Some(part) = reader.part().expect("a part") {
                bytes += black_box(part).payload.len();
            }
            bytes
        });
    });
}

criterion_group!(benches, rows, frames);
criterion_main!(benches);
