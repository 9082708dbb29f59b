//! Changes to sounds and spectrograms: functions of (seed, epoch, index) alone, and as strong as was asked for.

use fornax_data::audio::{Frames, Sound, SoundAugment, SpecAugment, Splice, mix, read_wav};
use fornax_data::{Dataset, SoundDataset, SoundFeatures, SoundSet};

fn speech() -> Sound {
    read_wav("tests/reference/speech.wav".as_ref()).unwrap()
}

fn all() -> SoundAugment {
    SoundAugment { shift: 0.05, gain: 6.0, speed: 0.1, noise: 1.0, noise_ratio: 10.0, pad: 0.0 }
}

#[test]
fn augmentation_follows_from_seed_epoch_and_index() {
    let sound = speech();
    assert_eq!(SoundAugment::default().apply(1, 2, 3, &sound), sound);
    let first = all().apply(1, 2, 3, &sound);
    assert_eq!(first, all().apply(1, 2, 3, &sound));
    for (seed, epoch, index) in [(2, 2, 3), (1, 3, 3), (1, 2, 4), (3, 2, 1)] {
        assert_ne!(first, all().apply(seed, epoch, index, &sound));
    }
    for (name, augment) in [
        ("shift", SoundAugment { shift: 0.05, ..SoundAugment::default() }),
        ("gain", SoundAugment { gain: 6.0, ..SoundAugment::default() }),
        ("speed", SoundAugment { speed: 0.1, ..SoundAugment::default() }),
        ("noise", SoundAugment { noise: 1.0, ..SoundAugment::default() }),
        ("pad", SoundAugment { pad: 0.1, ..SoundAugment::default() }),
    ] {
        let changed = augment.apply(0, 0, 0, &sound);
        assert_ne!(changed.samples, sound.samples, "{name}");
        assert_eq!(changed.samples.len() == sound.samples.len(), !["speed", "pad"].contains(&name), "{name}");
        assert!(augment.check().is_ok());
    }
    // A shift moves, and fills with silence.
    let shifted = SoundAugment { shift: 0.05, ..SoundAugment::default() }.apply(0, 0, 5, &sound);
    let by = (-400..=400i64).filter(|by| {
        (0..3000i64).all(|i| shifted.samples[i as usize] == usize::try_from(i - by).ok().and_then(|i| sound.samples.get(i)).copied().unwrap_or(0.0))
    });
    assert_eq!(by.count(), 1);
    // Silence around, and the recording as it was.
    let padded = SoundAugment { pad: 0.1, ..SoundAugment::default() }.apply(0, 0, 5, &sound).samples;
    let before = padded.windows(sound.samples.len()).position(|part| part == sound.samples).unwrap();
    let after = padded.len() - before - sound.samples.len();
    assert!(before <= 800 && after <= 800 && before != after, "{before} {after}");
    assert!(padded[..before].iter().chain(&padded[padded.len() - after..]).all(|x| *x == 0.0));
    let error = SoundAugment { noise: 2.0, ..all() }.check().unwrap_err().to_string();
    assert!(error.contains("`noise` must be from 0 to 1, not 2"), "{error}");
    assert!(serde_json::from_str::<SoundAugment>(r#"{"nois": 3}"#).is_err());
}

/// The numbers that this version draws: a change here breaks the exact resume of older runs.
#[test]
fn the_drawn_numbers_are_pinned() {
    let sum = |x: &[f32]| x.iter().map(|x| f64::from(x.abs())).sum::<f64>();
    let sound = all().apply(1, 2, 3, &speech());
    let mut frames = Frames { values: vec![1.0; 50 * 20], width: 20 };
    policy().apply(1, 2, 3, &mut frames);
    assert_eq!(format!("{} {:.3} {}", sound.samples.len(), sum(&sound.samples), sum(&frames.values)), PINNED);
}
const PINNED: &str = "3265 335.337 820";

#[test]
fn noise_has_the_power_that_was_asked_for() {
    let sound = speech();
    let noise: Vec<f32> = (0..700).map(|i| ((i * 7919) % 101) as f32 / 50.0 - 1.0).collect();
    for ratio in [0.0, 10.0, 20.0] {
        let mut mixed = sound.samples.clone();
        mix(&mut mixed, &noise, ratio);
        let power = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
        let signal = power(&mut sound.samples.iter().map(|x| f64::from(*x)));
        let added = power(&mut mixed.iter().zip(&sound.samples).map(|(a, b)| f64::from(a - b)));
        assert!((10.0 * (signal / added).log10() - ratio).abs() < 0.1, "{ratio}");
    }
    let mut silence = vec![0.0; 5];
    mix(&mut silence, &noise, 0.0);
    mix(&mut silence, &[], 0.0);
    assert_eq!(silence, [0.0; 5]);
}

fn policy() -> SpecAugment {
    SpecAugment { time_masks: 2, time_width: 10, time_share: Some(0.3), frequency_masks: 1, frequency_width: 6 }
}

#[test]
fn bands_of_a_spectrogram_are_blanked() {
    let blanked = |policy: SpecAugment, index: u64, count: usize| {
        let mut frames = Frames { values: vec![1.0; count * 20], width: 20 };
        policy.apply(0, 0, index, &mut frames);
        frames
    };
    assert!(blanked(SpecAugment::default(), 0, 50).values.iter().all(|x| *x == 1.0));
    let (mut widest, mut highest) = (0, 0);
    for index in 0..300 {
        let frames = blanked(SpecAugment { time_masks: 1, ..policy() }, index, 50);
        let rows: Vec<usize> = (0..50).filter(|t| frames.values[t * 20..][..20].iter().all(|x| *x == 0.0)).collect();
        let columns: Vec<usize> = (0..20).filter(|d| (0..50).all(|t| frames.values[t * 20 + d] == 0.0)).collect();
        for band in [&rows, &columns] {
            assert!(band.windows(2).all(|pair| pair[1] == pair[0] + 1), "a band is in one piece");
        }
        let zeros = frames.values.iter().filter(|x| **x == 0.0).count();
        assert_eq!(zeros, rows.len() * 20 + columns.len() * 50 - rows.len() * columns.len());
        (widest, highest) = (widest.max(rows.len()), highest.max(columns.len()));
    }
    assert_eq!((widest, highest), (10, 6));
    // A share of few frames is less than the width.
    assert!(
        (0..200).all(|index| blanked(SpecAugment { frequency_masks: 0, time_masks: 1, ..policy() }, index, 10)
            .values
            .iter()
            .filter(|x| **x == 0.0)
            .count()
            <= 60)
    );
    assert_eq!(blanked(policy(), 7, 50), blanked(policy(), 7, 50));
    blanked(SpecAugment::librispeech_basic(), 0, 0);
}

/// Tones of 0.1 seconds; the pitch is the label's, the loudness the speaker's.
fn tones() -> SoundSet {
    let tone = |label: usize, speaker: usize| {
        let at = |i: usize| (0.2 + 0.1 * speaker as f32) * ((label + 1) as f32 * 0.2 * i as f32).sin();
        Sound { rate: 8000, samples: (0..800 + 10 * label).map(at).collect() }
    };
    let pairs: Vec<(usize, usize)> = (0..2).flat_map(|speaker| (0..3).map(move |label| (label, speaker))).collect();
    let sounds = pairs.iter().map(|&(label, speaker)| tone(label, speaker)).collect();
    let (labels, speakers) = (pairs.iter().map(|p| p.0 as u32).collect(), pairs.iter().map(|p| p.1 as u32).collect());
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    SoundSet::new(sounds, labels, names(&["low", "mid", "high"]), speakers, names(&["a", "b"])).unwrap()
}

#[test]
fn utterances_hold_what_they_say() {
    let (set, splice) = (tones(), Splice { noise: 0.0, ..Splice::default() });
    let (mut counts, mut speakers) = (vec![], vec![]);
    for index in 0..60 {
        let spliced = splice.utter(&set, 1, 2, index).unwrap();
        counts.push(spliced.segments.len());
        let mut end = 0;
        let matching: Vec<Vec<u32>> = spliced
            .segments
            .iter()
            .map(|segment| {
                let gap = segment.from - end;
                assert!((800..=3200).contains(&gap), "{gap} samples of silence");
                assert!(spliced.sound.samples[end..segment.from].iter().all(|x| *x == 0.0));
                end = segment.to;
                let heard = &spliced.sound.samples[segment.from..segment.to];
                let same = |i: &usize| set.labels[*i] as usize == segment.label && set.sounds[*i].samples == heard;
                (0..set.len()).filter(same).map(|i| set.speakers[i]).collect()
            })
            .collect();
        assert!(matching.iter().all(|m| m.len() == 1 && *m == matching[0]), "one speaker, each said as recorded");
        speakers.push(matching[0][0]);
        let labels = spliced.frame_labels(spliced.sound.samples.len() / 80 + 1, 80, 3);
        let mut said = labels.clone();
        said.dedup();
        said.retain(|label| *label != 3);
        assert_eq!(said, spliced.labels());
        let spoken: usize = labels.iter().filter(|label| **label != 3).count();
        let samples: usize = spliced.segments.iter().map(|s| s.to - s.from).sum();
        assert!((spoken as f64 - samples as f64 / 80.0).abs() <= spliced.segments.len() as f64);
    }
    assert_eq!((counts.iter().min(), counts.iter().max()), (Some(&3), Some(&7)));
    assert!(speakers.contains(&0) && speakers.contains(&1));
    let noisy = Splice::default();
    assert_eq!(noisy.utter(&set, 1, 2, 3).unwrap(), noisy.utter(&set, 1, 2, 3).unwrap());
    assert_ne!(noisy.utter(&set, 1, 2, 3).unwrap(), noisy.utter(&set, 1, 3, 3).unwrap());
    assert!(noisy.utter(&set, 1, 2, 3).unwrap().sound.samples[..100].iter().all(|x| *x != 0.0 && x.abs() < 0.01));
    let mixed = Splice { same_speaker: false, least: 7, noise: 0.0, ..splice }.utter(&set, 0, 0, 0).unwrap();
    assert_eq!(mixed.segments.len(), 7);
    // The first recording half as long, the others without a sample: the segments are of what is heard.
    let shorter = |place: u64, sound: &Sound| Sound { rate: 8000, samples: sound.samples[..if place == 0 { 400 } else { 0 }].to_vec() };
    let changed = splice.utter_with(&set, 1, 2, 3, shorter).unwrap();
    assert_eq!(changed.labels(), splice.utter(&set, 1, 2, 3).unwrap().labels());
    let lengths: Vec<usize> = changed.segments.iter().map(|segment| segment.to - segment.from).collect();
    assert!(lengths[0] == 400 && lengths[1..].iter().all(|length| *length == 0), "{lengths:?}");
}

#[test]
fn utterances_that_cannot_be_are_refused() {
    for splice in [
        Splice { least: 0, ..Splice::default() },
        Splice { most: 2, ..Splice::default() },
        Splice { shortest: -1.0, ..Splice::default() },
        Splice { longest: f64::NAN, ..Splice::default() },
        Splice { noise: 2.0, ..Splice::default() },
    ] {
        assert!(splice.utter(&tones(), 0, 0, 0).unwrap_err().to_string().contains("are needed"));
    }
    let error = Splice::default().utter(&tones().subset(&[]), 0, 0, 0).unwrap_err().to_string();
    assert_eq!(error, "utterances of no recordings");
    let mut set = tones();
    set.sounds[4].rate = 16_000;
    let error = Splice::default().utter(&set, 0, 0, 0).unwrap_err().to_string();
    assert_eq!(error, "recording 4 has 16000 samples a second, the first 8000: resample them");
}

#[test]
fn a_data_set_of_sounds_gives_features() {
    let plain = SoundDataset::new(tones(), SoundFeatures::speech(8000, 20), SoundAugment::default(), SpecAugment::default(), 0).unwrap();
    let example = plain.get(0, 2).unwrap();
    assert_eq!((example.label, example.index, example.values.len()), (2, 2, 20 * (1 + 820 / 80)));
    assert_eq!(plain.get(7, 2).unwrap(), example, "without augmentation epochs are alike");
    assert_eq!(plain.features(&plain.sounds().sounds[2]).unwrap().values, example.values);
    let changed = SoundDataset::new(tones(), SoundFeatures::speech(8000, 20), all(), policy(), 0).unwrap();
    assert_eq!(changed.get(1, 2).unwrap(), changed.get(1, 2).unwrap());
    assert_ne!(changed.get(1, 2).unwrap(), changed.get(2, 2).unwrap());
    // At another rate: as many frames of as long.
    let halved = SoundDataset::new(tones(), SoundFeatures::speech(4000, 20), SoundAugment::default(), SpecAugment::default(), 0).unwrap();
    assert_eq!(halved.get(0, 2).unwrap().values.len(), 20 * (1 + 410 / 40));
    assert!(SoundDataset::new(tones(), SoundFeatures::speech(8000, 0), all(), policy(), 0).is_err());
    assert!(SoundDataset::new(tones(), SoundFeatures::speech(8000, 20), SoundAugment { shift: -1.0, ..all() }, policy(), 0).is_err());
}
