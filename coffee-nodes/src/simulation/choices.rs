//! What happens by chance in a run, as a list of numbers: drawn by a seed, and then made again or made simpler.

/// The choices of one run, in order. 0 is always the tame choice: no fault, and the next one in turn. So a run is made
/// simpler by leaving choices out, and by lowering them.
#[derive(Debug)]
pub(super) struct Choices {
    random: Option<fastrand::Rng>,
    /// Those that were made, and, where there is no chance, those that are still to be made.
    list: Vec<u32>,
    next: usize,
}

impl Choices {
    /// Drawn by chance.
    pub fn of_seed(seed: u64) -> Self {
        Choices { random: Some(fastrand::Rng::with_seed(seed)), list: Vec::new(), next: 0 }
    }

    /// These, and tame ones behind them.
    pub fn again(list: Vec<u32>) -> Self {
        Choices { random: None, list, next: 0 }
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = limit.clamp(1, u32::MAX as usize) as u32;
        let number = match &mut self.random {
            Some(random) => {
                let number = random.u32(..limit);
                self.list.push(number);
                number
            }
            None => self.list.get(self.next).map_or(0, |number| number % limit),
        };
        self.next += 1;
        number as usize
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        times > 0 && self.below(times) + 1 == times.max(2)
    }

    /// All that were made.
    pub fn made(mut self) -> Vec<u32> {
        self.list.truncate(self.next);
        self.list
    }
}

/// Simpler choices that fail as well: fewer, and tamer. `fails` tells of choices whether they do; `None` ends the search.
pub(super) fn simplify(failing: &[u32], mut fails: impl FnMut(&[u32]) -> Option<bool>) -> Vec<u32> {
    let mut failing = failing.to_vec();
    loop {
        let before = failing.clone();
        for change in [cut, tame] {
            let mut size = failing.len().next_power_of_two();
            while size > 0 {
                let mut at = 0;
                while at < failing.len() {
                    let Some(candidate) = change(&failing, at, size) else {
                        at += size;
                        continue;
                    };
                    match fails(&candidate) {
                        None => return failing,
                        Some(true) if candidate.len() < failing.len() => failing = candidate,
                        Some(true) => (failing, at) = (candidate, at + size),
                        Some(false) => at += size,
                    }
                }
                size /= 2;
            }
        }
        if failing == before {
            return failing;
        }
    }
}

/// Leaves out some.
fn cut(list: &[u32], at: usize, size: usize) -> Option<Vec<u32>> {
    let end = list.len().min(at + size);
    Some([&list[..at], &list[end..]].concat())
}

/// Makes some tame; `None` where they are.
fn tame(list: &[u32], at: usize, size: usize) -> Option<Vec<u32>> {
    let end = list.len().min(at + size);
    let mut list = list.to_vec();
    let was_tame = list[at..end].iter().all(|choice| *choice == 0);
    list[at..end].fill(0);
    (!was_tame).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_made_again() {
        let mut first = Choices::of_seed(3);
        let numbers: Vec<usize> = (1..50).map(|limit| first.below(limit)).collect();
        assert!((1..50).zip(&numbers).all(|(limit, number)| *number < limit));
        let mut second = Choices::again(first.made());
        assert_eq!((1..50).map(|limit| second.below(limit)).collect::<Vec<_>>(), numbers);
        assert!(!second.once_in(1) && !second.once_in(9), "tame behind the end");
        assert!(!Choices::of_seed(4).once_in(0), "never");
        let mut drawn = Choices::of_seed(5);
        assert_eq!((0..30_000).filter(|_| drawn.once_in(3)).count() / 1000, 10);
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let failing: Vec<u32> = (0..1000).map(|at| if at == 500 || at == 700 { 9 } else { at % 7 }).collect();
        let fails = |list: &[u32]| Some(list.iter().filter(|choice| **choice == 9).count() == 2);
        assert_eq!(simplify(&failing, fails), [9, 9]);
        let far = |list: &[u32]| Some(list.get(300).is_some_and(|choice| *choice > 0));
        let simpler = simplify(&failing, far);
        assert_eq!((simpler.len(), simpler.iter().filter(|choice| **choice != 0).count()), (301, 1));
        assert_eq!(simplify(&failing, |_: &[u32]| None), failing);
    }
}
