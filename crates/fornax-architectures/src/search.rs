use burn::tensor::{Device, Int, Tensor, TensorData};
use fornax_layers::Hypothesis;

/// A model that writes symbol by symbol, for [`search`]. A row is a sequence that is being written.
pub trait StepDecoder {
    /// All that the next symbols depend on besides the last ones, of a number of rows.
    type State;

    /// The symbol before the first.
    fn begin(&self) -> usize;

    /// The symbol after the last.
    fn end(&self) -> usize;

    /// Logits of the next symbols and the state behind them: `[R] -> [R, K]`
    fn step(&self, last: Tensor<1, Int>, state: Self::State) -> (Tensor<2>, Self::State);

    /// The rows with these numbers, in this order; one may be wanted more than once, or not at all.
    fn select(&self, state: Self::State, rows: &[usize]) -> Self::State;
}

/// How [`search`] looks for the most probable sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beam {
    /// Beginnings that are kept at each step.
    pub width: usize,
    /// Sequences that are wanted.
    pub keep: usize,
    /// `α` of the score `log p / ((5 + n)/6)^α` of a sequence of `n` symbols with its end: above 0 longer ones lose less.
    pub length_penalty: f64,
}

impl Beam {
    /// The most probable symbol at each step, the first of equals.
    pub const GREEDY: Self = Self::new(1);

    /// The best of a beam, by probability alone.
    pub const fn new(width: usize) -> Self {
        Self { width, keep: 1, length_penalty: 0.0 }
    }

    fn score(&self, log_probability: f64, symbols: usize) -> f64 {
        log_probability / ((5.0 + symbols as f64) / 6.0).powf(self.length_penalty)
    }
}

/// A row.
struct Beginning {
    sequence: usize,
    symbols: Vec<usize>,
    log_probability: f64,
}

/// The best sequences of each row of `state`, best first, none longer than its limit; all that is being written goes through the model at once.
///
/// At each step the beam's best continuations are kept, and what is complete among them leaves it. A search ends as soon as nothing that is in the beam can become
/// better than what is complete.
///
/// Source: Wu et al., "Google's neural machine translation system", 2016, section 7, without the coverage.
///
/// # Panics
/// If the beam's width, or what it keeps, is 0.
pub fn search<D: StepDecoder>(model: &D, state: D::State, limits: &[usize], beam: Beam, device: &Device) -> Vec<Vec<Hypothesis>> {
    assert!(beam.width > 0 && beam.keep > 0, "a beam is at least 1 wide and keeps at least 1");
    let mut done: Vec<Vec<(f64, Hypothesis)>> = limits.iter().map(|_| vec![]).collect();
    let mut rows: Vec<Beginning> = (0..limits.len()).map(|sequence| Beginning { sequence, symbols: vec![], log_probability: 0.0 }).collect();
    let mut state = state;
    while !rows.is_empty() {
        let last: Vec<i64> = rows.iter().map(|row| row.symbols.last().copied().unwrap_or(model.begin()) as i64).collect();
        let (logits, after) = model.step(Tensor::from_data(TensorData::new(last, [rows.len()]), device), state);
        let classes = logits.dims()[1];
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        let (mut next, mut from, mut first) = (vec![], vec![], 0);
        for group in rows.chunk_by(|a, b| a.sequence == b.sequence) {
            let sequence = group[0].sequence;
            let (limit, done) = (limits[sequence], &mut done[sequence]);
            let kept = next.len();
            for (log_probability, row, symbol) in continuations(group, &logits[first * classes..], classes, model.end(), limit, beam.width) {
                let mut symbols = group[row].symbols.clone();
                if symbol == model.end() {
                    done.push((beam.score(log_probability, symbols.len() + 1), Hypothesis { labels: symbols, log_probability }));
                } else {
                    symbols.push(symbol);
                    next.push(Beginning { sequence, symbols, log_probability });
                    from.push(first + row);
                }
            }
            done.sort_by(|a, b| b.0.total_cmp(&a.0));
            done.truncate(beam.keep);
            // Best first, and no score is above that of a sequence as long as can be to which nothing is added.
            let best = next.get(kept).map(|row| beam.score(row.log_probability, limit + 1));
            if best.is_some_and(|best| done.len() == beam.keep && best <= done[beam.keep - 1].0) {
                next.truncate(kept);
                from.truncate(kept);
            }
            first += group.len();
        }
        state = if from.iter().copied().eq(0..rows.len()) { after } else { model.select(after, &from) };
        rows = next;
    }
    done.into_iter().map(|done| done.into_iter().map(|(_, found)| found).collect()).collect()
}

/// The best continuations of the beginnings of one sequence, best first: probability, number of the beginning, symbol.
fn continuations(group: &[Beginning], logits: &[f32], classes: usize, end: usize, limit: usize, width: usize) -> Vec<(f64, usize, usize)> {
    // As many as are kept, best first: of thousands of symbols most need no look but the one that leaves them out.
    let mut best: Vec<(f64, usize, usize)> = Vec::with_capacity(width + 1);
    for (number, (row, logits)) in group.iter().zip(logits.chunks_exact(classes)).enumerate() {
        let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
        let log_p = |x: f32| row.log_probability + f64::from(x) - most - sum.ln();
        let may = |symbol: &usize| row.symbols.len() < limit || *symbol == end;
        for symbol in (0..classes).filter(may) {
            let p = log_p(logits[symbol]);
            if best.len() < width || best[width - 1].0 < p {
                // Behind its equals.
                best.insert(best.partition_point(|one| one.0 >= p), (p, number, symbol));
                best.truncate(width);
            }
        }
    }
    best
}
