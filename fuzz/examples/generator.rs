//! Runs a target on stable: `generator TARGET [RUNS [SEED]]`. Ends at the first input that fails, which is then in `fuzz/failed/`.

use std::{
    env, fs, panic,
    path::Path,
    process::{ExitCode, abort},
    sync::Mutex,
    time::{Duration, Instant},
};

use coffee_fuzz::{
    generator::{Generator, kept},
    targets::{Target, targets},
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The most bytes of memory that a target may take at a time: so many, and so many for each byte of its input. A sequence is
/// made room for as announced up to 1 MiB, by serde.
const MOST_MEMORY: usize = 4 << 20;
const MOST_MEMORY_A_BYTE: usize = 512;

/// The longest that a target may take.
const LONGEST: Duration = Duration::from_secs(2);

/// What the target has been given, for whoever reports that it failed.
static INPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(Some(default), |text| text.parse().ok());
    let found = arguments.first().and_then(|wanted| targets().find(|(name, _)| name == wanted));
    match (found, number(1, 1_000_000), number(2, 1)) {
        (Some(target), Some(runs), Some(seed)) => run(target, runs, seed),
        _ => {
            let names: Vec<&str> = targets().map(|(name, _)| name).collect();
            eprintln!("usage: generator TARGET [RUNS [SEED]], of the targets {}", names.join(", "));
            ExitCode::from(2)
        }
    }
}

fn run((name, target): Target, runs: u64, seed: u64) -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = kept(&folder.join("seeds").join(name)).expect("seeds can be read");
    // What a target builds once is not counted.
    kept.iter().for_each(|input| target(input));
    let failed = folder.join("failed").join(name);
    panic::set_hook(Box::new(move |what| {
        let input = INPUT.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        eprintln!("{what}\nthe input: {:?}", input.escape_ascii().to_string());
        let written = fs::create_dir_all(failed.parent().unwrap_or(&failed)).and_then(|()| fs::write(&failed, &*input));
        eprintln!("{}: {written:?}", failed.display());
        // Also where it would be caught: what is fuzzed has no reason to panic.
        abort();
    }));
    let mut generator = Generator::new(kept, seed);
    let (start, mut slowest, mut most) = (Instant::now(), Duration::ZERO, 0);
    for _ in 0..runs {
        let input = generator.input();
        *INPUT.lock().expect("no panic holds it") = input.to_vec();
        MEMORY.reset_peak_usage();
        let (before, began) = (MEMORY.current_usage(), Instant::now());
        target(input);
        let (memory, time) = (MEMORY.peak_usage().saturating_sub(before), began.elapsed());
        assert!(memory <= MOST_MEMORY + MOST_MEMORY_A_BYTE * input.len(), "it took {memory} bytes of memory");
        assert!(time <= LONGEST, "it took {time:?}");
        (slowest, most) = (slowest.max(time), most.max(memory));
    }
    let time = start.elapsed();
    let rate = runs as f64 / time.as_secs_f64();
    println!(
        "{name}: {runs} runs, seed {seed}, {time:.0?}, {rate:.0} a second; at most {slowest:.1?} and {most} bytes"
    );
    ExitCode::SUCCESS
}
