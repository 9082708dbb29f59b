use std::ops::Range;

/// From the probabilities of a voice detector, chunk by chunk, to segments of speech. All times are in seconds.
///
/// Speech begins with a chunk at or above `threshold`. It ends where the chunks fall below `release`, once `min_silence` has passed without one at or above
/// `threshold`. Segments that are not longer than `min_speech` are dropped, and `pad` is added on both sides, or half of the gap where two are nearer.
///
/// Source: `get_speech_timestamps` of Silero VAD 6.2 (<https://github.com/snakers4/silero-vad>), whose results these are; without its longest length of a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeechSegments {
    /// Speech begins here.
    pub threshold: f64,
    /// Silence begins below.
    pub release: f64,
    /// 0.25
    pub min_speech: f64,
    /// 0.1
    pub min_silence: f64,
    /// 0.03
    pub pad: f64,
}

impl SpeechSegments {
    /// Silero's defaults around a threshold, theirs is 0.5: silence begins 0.15 lower, but not below 0.01.
    pub fn new(threshold: f64) -> Self {
        Self { threshold, release: (threshold - 0.15).max(0.01), min_speech: 0.25, min_silence: 0.1, pad: 0.03 }
    }

    /// Segments in samples, of a recording of `samples` at `rate` a second with a probability for every `chunk`; the last chunk may reach over the end.
    pub fn find(&self, probabilities: &[f32], chunk: usize, samples: usize, rate: u32) -> Vec<Range<usize>> {
        let in_samples = |seconds: f64| (f64::from(rate) * seconds).round() as usize;
        let (min_speech, min_silence) = (in_samples(self.min_speech), in_samples(self.min_silence));
        let long = |speech: &Range<usize>| speech.len() > min_speech;
        let (mut found, mut start, mut silent_from) = (vec![], None, None);
        for (index, probability) in probabilities.iter().map(|p| f64::from(*p)).enumerate() {
            let now = index * chunk;
            if probability >= self.threshold {
                silent_from = None;
                start.get_or_insert(now);
            } else if let Some(began) = start.filter(|_| probability < self.release) {
                let end = *silent_from.get_or_insert(now);
                if now - end >= min_silence {
                    found.extend(Some(began..end).filter(long));
                    (start, silent_from) = (None, None);
                }
            }
        }
        found.extend(start.map(|began| began..samples).filter(long));
        self.widen(&mut found, in_samples(self.pad), samples);
        found
    }

    fn widen(&self, found: &mut [Range<usize>], pad: usize, samples: usize) {
        let count = found.len();
        for index in 0..count {
            if index == 0 {
                found[0].start = found[0].start.saturating_sub(pad);
            }
            if index + 1 == count {
                found[index].end = (found[index].end + pad).min(samples);
                break;
            }
            let gap = found[index + 1].start - found[index].end;
            let pad = if gap < 2 * pad { gap / 2 } else { pad };
            found[index].end += pad;
            found[index + 1].start -= pad;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs of the same probability, in chunks of 512 at 16,000 a second.
    fn find(runs: &[(f32, usize)]) -> Vec<Range<usize>> {
        let probabilities: Vec<f32> = runs.iter().flat_map(|&(p, count)| vec![p; count]).collect();
        SpeechSegments::new(0.5).find(&probabilities, 512, probabilities.len() * 512, 16_000)
    }

    #[test]
    fn segments_are_those_of_silero() {
        // What `get_speech_timestamps_from_probs` of silero-vad 6.2.3 gives.
        assert!(find(&[(0.1, 20)]).is_empty() && find(&[]).is_empty());
        assert_eq!(find(&[(0.1, 10), (0.9, 20), (0.1, 20)]), [4640..15_840]);
        // Eight chunks are 256 ms, seven are too short.
        assert_eq!(find(&[(0.1, 10), (0.9, 7), (0.1, 20), (0.9, 8), (0.1, 10)]), [18_464..23_520]);
        // Between the thresholds speech goes on, and three chunks of silence are not 100 ms.
        assert_eq!(find(&[(0.6, 5), (0.4, 20), (0.6, 5), (0.2, 10)]), [0..15_840]);
        assert_eq!(find(&[(0.5, 10), (0.34, 3), (0.5, 10)]), [0..11_776]);
        assert_eq!(find(&[(0.9, 10), (0.1, 5), (0.9, 10)]), [0..5600, 7200..12_800]);
        assert_eq!(find(&[(0.9, 30)]), [0..15_360]);
    }

    proptest! {
        #[test]
        fn segments_are_in_order_and_inside(probabilities in proptest::collection::vec(0f32..1.0, 0..200), threshold in 0.01..0.99f64, cut in 0usize..256) {
            let samples = (probabilities.len() * 256).saturating_sub(cut);
            let found = SpeechSegments::new(threshold).find(&probabilities, 256, samples, 8000);
            prop_assert!(found.iter().all(|s| s.start < s.end && s.end <= samples));
            prop_assert!(found.windows(2).all(|two| two[0].end <= two[1].start));
        }
    }
}
