use crate::{
    DataError, Dataset, SeriesExample, SoundSet,
    audio::{Frames, Log, Mel, MelConfig, Sound, SoundAugment, SpecAugment},
};

/// How a sound becomes features.
#[derive(Debug, Clone, PartialEq)]
pub struct SoundFeatures {
    /// The bands; sounds of another rate are resampled to its.
    pub mel: MelConfig,
    /// Of the bands.
    pub log: Log,
    /// Each band with mean 0 and deviation 1 over the sound.
    pub standardize: bool,
}

impl SoundFeatures {
    /// Natural logarithms of 25 ms every 10 ms, standardized.
    pub fn speech(rate: u32, filters: usize) -> Self {
        Self { mel: MelConfig::speech(rate, filters), log: Log::NATURAL, standardize: true }
    }
}

/// A [`SoundSet`] as a loader's source: each sound augmented by (seed, epoch, index), and its features.
#[derive(Debug, Clone)]
pub struct SoundDataset {
    sounds: SoundSet,
    features: SoundFeatures,
    mel: Mel,
    augment: SoundAugment,
    spec_augment: SpecAugment,
    seed: u64,
}

impl SoundDataset {
    /// Sounds with their features; the default augmentations change nothing.
    ///
    /// # Errors
    /// [`DataError::Invalid`] for a number out of range.
    pub fn new(sounds: SoundSet, features: SoundFeatures, augment: SoundAugment, spec_augment: SpecAugment, seed: u64) -> Result<Self, DataError> {
        augment.check()?;
        Ok(Self { sounds, mel: features.mel.build()?, features, augment, spec_augment, seed })
    }

    /// The sounds.
    pub fn sounds(&self) -> &SoundSet {
        &self.sounds
    }

    /// The features of a sound, without augmentation: `[T, M]`
    ///
    /// # Errors
    /// [`DataError::Invalid`] for a sound that is too short.
    pub fn features(&self, sound: &Sound) -> Result<Frames, DataError> {
        let mut frames = self.mel.forward(&sound.resample(self.features.mel.rate).samples)?;
        self.features.log.apply(&mut frames);
        if self.features.standardize {
            frames.standardize();
        }
        Ok(frames)
    }
}

impl Dataset for SoundDataset {
    type Item = SeriesExample;

    fn len(&self) -> usize {
        self.sounds.len()
    }

    fn get(&self, epoch: u64, index: usize) -> Result<SeriesExample, DataError> {
        let sound = self.augment.apply(self.seed, epoch, index as u64, &self.sounds.sounds[index]);
        let mut frames = self.features(&sound)?;
        self.spec_augment.apply(self.seed, epoch, index as u64, &mut frames);
        Ok(SeriesExample { values: frames.values, label: self.sounds.labels[index] as usize, index })
    }
}
