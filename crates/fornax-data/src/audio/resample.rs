use super::Sound;

/// Zero crossings of the sinc on each side.
const WIDTH: f64 = 6.0;
/// The edge of the filter, of half the lower rate.
const ROLLOFF: f64 = 0.99;

impl Sound {
    /// At another rate, low-passed below half the lower one: `⌈N · rate / self.rate⌉` samples.
    ///
    /// A sinc under a Hann window, `Σ x_i · s · sinc(π s d) · cos²(π s d / 12)` with `d` the distance in input samples and `s = 0.99 · min(1, to/from)`:
    /// torchaudio's default `resample`.
    ///
    /// Source: Smith, "Digital audio resampling home page", 2002 (<https://ccrma.stanford.edu/~jos/resample/>).
    ///
    /// # Panics
    /// If a rate is 0.
    pub fn resample(&self, rate: u32) -> Self {
        assert!(rate > 0 && self.rate > 0, "from {} to {rate} samples a second", self.rate);
        if rate == self.rate {
            return self.clone();
        }
        let common = gcd(rate, self.rate);
        let (from, to) = ((self.rate / common) as usize, (rate / common) as usize);
        let scale = ROLLOFF * (to as f64 / from as f64).min(1.0);
        let reach = (WIDTH / scale).ceil() as i64;
        let length = (self.samples.len() * to).div_ceil(from);
        // Output n lies at n · from / to: the weights of its neighbours depend on n mod to alone.
        let weights = |phase: usize| -> Vec<f64> {
            let offset = (phase * from % to) as f64 / to as f64;
            (-reach..=reach + 1).map(|i| scale * windowed_sinc(scale * (i as f64 - offset))).collect()
        };
        let phases: Vec<Vec<f64>> = (0..to.min(length)).map(weights).collect();
        let output = |n: usize| {
            let first = (n * from / to) as i64 - reach;
            let sample = |(i, weight): (i64, &f64)| self.samples.get(usize::try_from(first + i).ok()?).map(|x| f64::from(*x) * weight);
            (0..).zip(&phases[n % to]).filter_map(sample).sum::<f64>() as f32
        };
        Self { rate, samples: (0..length).map(output).collect() }
    }
}

fn windowed_sinc(t: f64) -> f64 {
    if t.abs() >= WIDTH {
        return 0.0;
    }
    let (angle, window) = (t * std::f64::consts::PI, (t * std::f64::consts::PI / WIDTH / 2.0).cos().powi(2));
    if angle == 0.0 { 1.0 } else { angle.sin() / angle * window }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
