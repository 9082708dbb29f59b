use crate::DataError;

/// Measurements at equal intervals, of which the end is to be forecast from what came before.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// `[N]`, in order of time. What a model may not see yet is not there.
    pub values: Vec<f32>,
    /// The first that is to be forecast; those before are history. 0 in the part to learn from.
    pub from: usize,
    /// Measurements a day.
    pub day: usize,
    /// Days in a season: what was measured that long ago is the seasonal naive forecast.
    pub season_days: usize,
    /// Of a value.
    pub unit: String,
}

impl Signal {
    /// A signal whose parts fit together.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if a value is not finite, `from` is behind the end, or there is no day or no season.
    pub fn new(values: Vec<f32>, from: usize, day: usize, season_days: usize, unit: String) -> Result<Self, DataError> {
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            return Err(DataError::Invalid(format!("measurement {at} is {}, not a finite number", values[at])));
        }
        if from > values.len() || day == 0 || season_days == 0 {
            return Err(DataError::Invalid(format!(
                "a signal of {} measurements, {day} a day, {season_days} days a season, cannot be forecast from {from} on",
                values.len()
            )));
        }
        Ok(Self { values, from, day, season_days, unit })
    }

    /// Measurements a season.
    pub fn season(&self) -> usize {
        self.day * self.season_days
    }

    /// What was measured a season before `index`, which may be behind the end.
    ///
    /// # Panics
    /// If that is before the beginning, or unknown.
    pub fn naive(&self, index: usize) -> f32 {
        self.values[index - self.season()]
    }
}
