use crate::{DataError, audio::Sound};

/// Labelled recordings, and who speaks.
#[derive(Debug, Clone, PartialEq)]
pub struct SoundSet {
    /// The recordings.
    pub sounds: Vec<Sound>,
    /// `[N]`, each below the number of classes.
    pub labels: Vec<u32>,
    /// The name of each class.
    pub classes: Vec<String>,
    /// `[N]`, each below the number of speakers.
    pub speakers: Vec<u32>,
    /// The name of each speaker.
    pub speaker_names: Vec<String>,
}

impl SoundSet {
    /// A set whose parts fit together.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if labels and speakers are not one a recording, or have no name.
    pub fn new(
        sounds: Vec<Sound>,
        labels: Vec<u32>,
        classes: Vec<String>,
        speakers: Vec<u32>,
        speaker_names: Vec<String>,
    ) -> Result<Self, DataError> {
        for (what, numbers, names) in [("label", &labels, &classes), ("speaker", &speakers, &speaker_names)] {
            if numbers.len() != sounds.len() {
                return Err(DataError::Invalid(format!("{} recordings with {} of the number of a {what}: one each", sounds.len(), numbers.len())));
            }
            if let Some(at) = numbers.iter().position(|&number| number as usize >= names.len()) {
                return Err(DataError::Invalid(format!("recording {at} has {what} {}, but {} have names, counted from 0", numbers[at], names.len())));
            }
        }
        Ok(Self { sounds, labels, classes, speakers, speaker_names })
    }

    /// The number of recordings.
    pub fn len(&self) -> usize {
        self.sounds.len()
    }

    /// Whether there is no recording.
    pub fn is_empty(&self) -> bool {
        self.sounds.is_empty()
    }

    /// The recordings at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not below [`len`](Self::len).
    pub fn subset(&self, indices: &[usize]) -> Self {
        let numbers = |of: &[u32]| indices.iter().map(|&i| of[i]).collect();
        Self {
            sounds: indices.iter().map(|&i| self.sounds[i].clone()).collect(),
            labels: numbers(&self.labels),
            speakers: numbers(&self.speakers),
            classes: self.classes.clone(),
            speaker_names: self.speaker_names.clone(),
        }
    }

    /// The recordings of all others and those of one speaker, to test on a voice that was never heard.
    pub fn leave_out(&self, speaker: u32) -> (Self, Self) {
        let (out, rest): (Vec<usize>, Vec<usize>) = (0..self.len()).partition(|&i| self.speakers[i] == speaker);
        (self.subset(&rest), self.subset(&out))
    }
}
