//! Transactions out of CSV, checked and typed, on one thread; beside it the csv crate's `ByteRecord` loop, which finds
//! fields and checks nothing in them, and a count of the lines, which is how fast bytes can be looked at.

#![expect(clippy::expect_used, reason = "a benchmark that can't be set up measures nothing")]

use std::{fs, hint::black_box, time::Duration};

use coffee::{
    core::{
        csv::CsvSource,
        rejection::Rejection,
        sales::records::Transaction,
        source::{Chunk, RowSink, Rows, Source},
    },
    nodes::generate::{GenerateOptions, generate},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

struct Taken {
    rows: u64,
    rejected: u64,
}

impl RowSink<Transaction> for Taken {
    fn rows(&mut self, rows: &[Transaction]) {
        self.rows += black_box(rows).len() as u64;
    }

    fn reject(&mut self, _rejection: Rejection) {
        self.rejected += 1;
    }
}

/// About 20 MB of transactions, the same on every run.
fn transactions() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let months = vec!["2024-01".parse().expect("a month")];
    let options = GenerateOptions { months, transactions: 200_000, users: 10_000, seed: 1 };
    let data = folder.path().join("data");
    generate(&data, &options).expect("a data set");
    let file = fs::read_dir(data.join("transactions")).expect("a table").next().expect("a file");
    fs::read(file.expect("a file").path()).expect("its text")
}

fn transactions_of_csv(criterion: &mut Criterion) {
    let text = transactions();
    let cut = memchr::memchr(b'\n', &text).expect("a header");
    let (header, data) = (&text[..cut], &text[cut + 1..]);
    let mut group = criterion.benchmark_group("transactions of CSV");
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Bytes(data.len() as u64));
    let mut source = CsvSource::<Transaction>::new();
    let mut block = Vec::new();
    group.bench_function("CsvSource, typed and checked", |bench| {
        bench.iter(|| {
            let mut taken = Taken { rows: 0, rejected: 0 };
            let mut rows = Rows::new(&mut block, &mut taken);
            source.read(&Chunk { file: 0, first_line: 2, header, data }, &mut rows);
            rows.finish();
            assert_eq!(taken.rejected, 0);
            taken.rows
        });
    });
    let mut record = csv::ByteRecord::new();
    group.bench_function("csv crate, bare ByteRecord loop", |bench| {
        bench.iter(|| {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(data);
            let mut rows = 0_u64;
            while reader.read_byte_record(&mut record).expect("a record") {
                rows += black_box(&record).len() as u64;
            }
            rows
        });
    });
    group.bench_function("lines counted by memchr", |bench| bench.iter(|| memchr::memchr_iter(b'\n', data).count()));
    group.finish();
}

criterion_group!(benches, transactions_of_csv);
criterion_main!(benches);
