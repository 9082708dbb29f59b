//! A step size along a line, by cubic interpolation: PyTorch's `_strong_wolfe` in its order of evaluations.

/// How much of the promised descent has to come: c₁.
const DESCENT: f64 = 1e-4;
/// How much of the slope may be left: c₂.
const SLOPE: f64 = 0.9;
/// Sizes tried beside the first.
const TRIES: usize = 25;

/// A point of the line: its place, the loss, its derivative along the line, and the gradient.
#[derive(Debug, Clone)]
pub(super) struct Point<G> {
    pub(super) t: f64,
    pub(super) loss: f64,
    pub(super) slope: f64,
    pub(super) gradient: G,
}

/// A point with `loss(t) ≤ loss(0) + c₁ t slope(0)` and `|slope(t)| ≤ −c₂ slope(0)`, or the best that was found.
///
/// `start` is at 0, `first` is the size to try first; an interval that moves no weight by more than `tolerance`, where a size of 1 moves one by `reach`, is
/// not divided further. A loss that is not a number counts as infinite.
///
/// Source: Nocedal and Wright, "Numerical optimization", 2006, algorithms 3.5 and 3.6.
pub(super) fn strong_wolfe<G: Clone>(start: Point<G>, first: f64, reach: f64, tolerance: f64, at: impl FnMut(f64) -> Point<G>) -> Point<G> {
    let (loss, slope) = (start.loss, start.slope);
    let mut search = Search { loss, slope, tries: 0, at };
    match search.bracket(start, first) {
        Bracket::Point(point) => point,
        Bracket::Interval(ends) => search.zoom(ends, reach, tolerance),
    }
}

enum Bracket<G> {
    /// It will do.
    Point(Point<G>),
    /// One that will do is between these.
    Interval([Point<G>; 2]),
}

struct Search<F> {
    /// At 0.
    loss: f64,
    /// At 0.
    slope: f64,
    tries: usize,
    at: F,
}

impl<G: Clone, F: FnMut(f64) -> Point<G>> Search<F> {
    fn look(&mut self, t: f64) -> Point<G> {
        let point = (self.at)(t);
        Point { loss: if point.loss.is_nan() { f64::INFINITY } else { point.loss }, ..point }
    }

    fn descends_too_little(&self, point: &Point<G>) -> bool {
        point.loss > self.loss + DESCENT * point.t * self.slope
    }

    fn is_flat(&self, point: &Point<G>) -> bool {
        point.slope.abs() <= -SLOPE * self.slope
    }

    /// Goes farther until a point will do or one has been passed.
    fn bracket(&mut self, start: Point<G>, first: f64) -> Bracket<G> {
        let (mut before, mut point) = (start.clone(), self.look(first));
        while self.tries < TRIES {
            if self.descends_too_little(&point) || (self.tries > 1 && point.loss >= before.loss) {
                return Bracket::Interval([before, point]);
            }
            if self.is_flat(&point) {
                return Bracket::Point(point);
            }
            if point.slope >= 0.0 {
                return Bracket::Interval([before, point]);
            }
            let next = cubic(&before, &point, [point.t + 0.01 * (point.t - before.t), 10.0 * point.t]);
            before = std::mem::replace(&mut point, self.look(next));
            self.tries += 1;
        }
        Bracket::Interval([start, point])
    }

    /// Makes the interval smaller until its lower end will do.
    fn zoom(&mut self, mut ends: [Point<G>; 2], reach: f64, tolerance: f64) -> Point<G> {
        let mut low = lower(&ends);
        let mut was_near = false;
        while self.tries < TRIES {
            let (left, right) = (ends[0].t.min(ends[1].t), ends[0].t.max(ends[1].t));
            if (right - left) * reach < tolerance {
                break;
            }
            let mut t = cubic(&ends[0], &ends[1], [left, right]);
            // Twice near an end, or on it: a tenth of the interval inward.
            let tenth = 0.1 * (right - left);
            let near = (right - t).min(t - left) < tenth;
            if near && (was_near || t >= right || t <= left) {
                t = if (t - right).abs() < (t - left).abs() { right - tenth } else { left + tenth };
                was_near = false;
            } else {
                was_near = near;
            }
            let point = self.look(t);
            self.tries += 1;
            if self.descends_too_little(&point) || point.loss >= ends[low].loss {
                ends[1 - low] = point;
                low = lower(&ends);
                continue;
            }
            let found = self.is_flat(&point);
            if !found && point.slope * (ends[1 - low].t - ends[low].t) >= 0.0 {
                ends[1 - low] = ends[low].clone();
            }
            ends[low] = point;
            if found {
                break;
            }
        }
        let [a, b] = ends;
        if low == 0 { a } else { b }
    }
}

fn lower<G>(ends: &[Point<G>; 2]) -> usize {
    usize::from(ends[0].loss > ends[1].loss)
}

/// Where the cubic through two points with their slopes is lowest, within bounds; their middle, where it has no lowest point.
fn cubic<G>(a: &Point<G>, b: &Point<G>, [low, high]: [f64; 2]) -> f64 {
    let (left, right) = if a.t <= b.t { (a, b) } else { (b, a) };
    let d = left.slope + right.slope - 3.0 * (left.loss - right.loss) / (left.t - right.t);
    // NaN where there is none, and stays so.
    let root = (d * d - left.slope * right.slope).sqrt();
    let t = right.t - (right.t - left.t) * ((right.slope + root - d) / (right.slope - left.slope + 2.0 * root));
    if t.is_nan() { f64::midpoint(low, high) } else { t.max(low).min(high) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(f: fn(f64) -> (f64, f64), first: f64) -> (Point<()>, usize) {
        let mut calls = 0;
        let point = |t: f64| Point { t, loss: f(t).0, slope: f(t).1, gradient: () };
        let found = strong_wolfe(point(0.0), first, 1.0, 1e-9, |t| {
            calls += 1;
            point(t)
        });
        (found, calls)
    }

    #[test]
    fn both_conditions_hold_wherever_it_starts() {
        // A valley at 2, one with a wall at 3 (its logarithm is NaN beyond), and one with ripples.
        let valleys: [fn(f64) -> (f64, f64); 3] = [
            |t| ((t - 2.0) * (t - 2.0), 2.0 * (t - 2.0)),
            |t| (-t - (3.0 - t).ln(), -1.0 + 1.0 / (3.0 - t)),
            |t| (0.05 * (t - 4.0) * (t - 4.0) + 0.1 * (3.0 * t).sin(), 0.1 * (t - 4.0) + 0.3 * (3.0 * t).cos()),
        ];
        for f in valleys {
            let (loss, slope) = f(0.0);
            for first in [1e-4, 0.1, 1.0, 2.9, 50.0] {
                let (found, calls) = search(f, first);
                assert!(found.loss <= loss + DESCENT * found.t * slope, "{first}: {found:?}");
                assert!(found.slope.abs() <= -SLOPE * slope, "{first}: {found:?}");
                assert!(calls <= 12, "{first}: {calls} calls");
            }
        }
    }

    #[test]
    fn a_line_without_end_is_left_after_25_tries() {
        let (found, calls) = search(|t| (-t, -1.0), 1.0);
        assert!(calls == TRIES + 1 && found.t > 1e20, "{found:?}, {calls}");
    }

    #[test]
    fn where_nothing_is_lower_the_start_remains() {
        let (found, _) = search(|t| (if t == 0.0 { 0.0 } else { f64::NAN }, -1.0), 1.0);
        assert_eq!((found.t, found.loss), (0.0, 0.0));
    }
}
