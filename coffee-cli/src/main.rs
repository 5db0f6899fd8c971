//! The coffee command.
use coffee_core::sales::*;
use coffee_nodes::sales::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let placement = if args[3] == "staged" { staged() } else { fused() }.unwrap();
    let options = RunOptions { data: args[1].clone().into(), out: args[2].clone().into(),
        query: Query { years: vec![2024, 2025], from: "06:00:00".parse().unwrap(), to: "23:00:00".parse().unwrap(), min_amount: args[5].parse().unwrap(), top: 3 },
        queries: Queries::ALL, placement, threads: args[4].parse().unwrap(), strict: false };
    match run(&options, &Progress::default(), &coffee_nodes::Stop::new()) {
        Ok(s) => println!("{:?} {:?} {:?}", s.elapsed, s.tables, s.operators),
        Err(e) => println!("{e} {e:?}"),
    }
}
