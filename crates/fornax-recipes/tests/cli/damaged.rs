//! Damaged files under an address limit of 4 GB: one clear line, exit code 1, never a panic, a hang or an abort.
//!
//! FORNAX_DAMAGED sets the number of files (default 120).

use crate::support::{good, train_args};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A reproducible stream of numbers for choosing the damage.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

/// What was done to a file: whether nobody can mistake it for a good one.
fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) -> (&'static str, bool) {
    match numbers.below(5) {
        0 => {
            bytes.truncate(numbers.below(bytes.len()));
            ("cut", true)
        }
        1 => {
            let (at, bit) = (numbers.below(bytes.len()), numbers.below(8));
            bytes[at] ^= 1 << bit;
            ("one bit flipped", false)
        }
        2 => {
            // The header says how large things are: huge numbers there.
            let head = bytes.len().min(40);
            let at = numbers.below(head.saturating_sub(4));
            bytes[at..(at + 4).min(head)].fill(0xFF);
            ("huge numbers in the header", false)
        }
        3 => {
            *bytes = (0..numbers.below(400)).map(|_| numbers.below(256) as u8).collect();
            ("noise", true)
        }
        _ => {
            *bytes = b"{\"name\": \"a file of another kind\"}\n".repeat(1 + numbers.below(9));
            ("another kind", true)
        }
    }
}

fn limited(folder: &Path, args: &[&str]) -> std::process::Output {
    let script = "ulimit -v 4194304; exec timeout 60 \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    command.current_dir(folder).arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_fornax")).args(args);
    command.env_remove("FORNAX_DATA").env("FORNAX_CACHE", folder.join("cache")).output().unwrap()
}

/// An NPY file of floats.
fn npy() -> Vec<u8> {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 7), }";
    let header = format!("{header:<117}\n");
    let mut bytes = [b"\x93NUMPY\x01\x00".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    (0..28).for_each(|i| bytes.extend((i as f32).to_le_bytes()));
    bytes
}

#[test]
fn every_damaged_file_ends_in_one_clear_line() {
    let count: usize = std::env::var("FORNAX_DAMAGED").ok().and_then(|n| n.parse().ok()).unwrap_or(120);
    let f = tempfile::tempdir().unwrap();
    let path = |name: &str| f.path().join(name);
    good(f.path(), &train_args("run", &["--steps", "4", "--set", "trainer.checkpoint_every=2"]));
    image::GrayImage::from_fn(40, 40, |x, y| image::Luma([(x * y) as u8])).save(path("good.png")).unwrap();
    fs::write(path("good.npy"), npy()).unwrap();
    let last = path("run/checkpoints/step-00000004.safetensors");
    let mut weights = fornax_weights::TensorFile::read(&last).unwrap();
    weights.metadata.clear();
    weights.write(&path("good.safetensors")).unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/mnist-10k");
    fs::create_dir(path("idx")).unwrap();
    for (from, to) in [
        ("train-images", "train-images-idx3-ubyte"),
        ("train-labels", "train-labels-idx1-ubyte"),
        ("valid-images", "t10k-images-idx3-ubyte"),
        ("valid-labels", "t10k-labels-idx1-ubyte"),
    ] {
        let kind = if from.ends_with("images") { "idx3" } else { "idx1" };
        fs::copy(data.join(format!("{from}-{kind}-ubyte.gz")), path("idx").join(format!("{to}.gz"))).unwrap();
    }

    let targets: [(PathBuf, Vec<&str>); 7] = [
        (path("run/checkpoints/best.safetensors"), vec!["predict", "run", "good.png"]),
        (path("run/checkpoints/step-00000004.safetensors"), vec!["inspect", "run/checkpoints/step-00000004.safetensors"]),
        (path("good.safetensors"), vec!["inspect", "good.safetensors", "--hash"]),
        (path("good.png"), vec!["predict", "run", "good.png"]),
        (path("good.npy"), vec!["inspect", "good.npy"]),
        (path("idx/t10k-images-idx3-ubyte.gz"), vec!["eval", "run", "--data", "idx"]),
        (path("idx/t10k-labels-idx1-ubyte.gz"), vec!["eval", "run", "--data", "idx"]),
    ];
    for (file, args) in &targets {
        let output = limited(f.path(), args);
        assert!(output.status.success(), "undamaged {}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    }
    let mut numbers = Numbers(1);
    let mut refused = 0;
    for i in 0..count {
        let (file, args) = &targets[i % targets.len()];
        let whole = fs::read(file).unwrap();
        let mut bytes = whole.clone();
        let (what, certain) = damage(&mut bytes, &mut numbers);
        fs::write(file, &bytes).unwrap();
        let output = limited(f.path(), args);
        fs::write(file, &whole).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let context = format!("file {i}, {}: {what}: {:?} {stderr}", file.display(), output.status);
        match output.status.code() {
            // A flipped bit may be one that no format protects, say a comment's.
            Some(0) => assert!(!certain || bytes == whole, "{context}"),
            Some(1) => {
                assert_eq!(stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{context}");
                assert!(!stderr.contains("panicked") && !stderr.contains("memory allocation"), "{context}");
                refused += 1;
            }
            _ => panic!("{context}"),
        }
    }
    assert!(refused * 10 > count * 8, "only {refused} of {count} were refused");
}

#[test]
fn a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used() {
    let f = tempfile::tempdir().unwrap();
    let more = ["--steps", "8", "--set", "trainer.checkpoint_every=2"];
    good(f.path(), &train_args("whole", &more));
    good(f.path(), &train_args("run", &more));
    let last = f.path().join("run/checkpoints/step-00000008.safetensors");
    let mut bytes = fs::read(&last).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&last, bytes).unwrap();
    let output = crate::support::run(f.path(), &train_args("run", &[&more[..], &["--resume"]].concat()));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.contains("step-00000008.safetensors; using the one before") && stderr.contains("resumed after step 6"),
        "{stderr}"
    );
    let hash = |out: &str| good(f.path(), &["inspect", out, "--hash"]).lines().last().unwrap().to_string();
    assert_eq!(hash("whole"), hash("run"));
}
