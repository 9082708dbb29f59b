//! `setup-libtorch`: LibTorch from the wheels on PyPI, into a folder that git ignores.
//!
//! The only wheel of PyTorch 2.9.0 for Linux on PyPI is the CUDA one. On the CPU four of its libraries are enough, with two small ones of
//! CUDA that `libtorch_cpu.so` is linked to; no Python is needed once they are in place.

use crate::shell::{Workspace, answers, spell, succeed};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What tch 0.22 is made for.
const VERSION: &str = "2.9.0";
/// The version that the wheel of PyTorch asks for.
const CUDA: &str = "12.8.90";

const FIX: &str = "or unpack LibTorch 2.9.0 yourself and set LIBTORCH to its folder";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cpu,
    Cuda,
}

impl Kind {
    /// The content of `build-version`.
    fn version(self) -> String {
        match self {
            Self::Cpu => format!("{VERSION}+cpu"),
            Self::Cuda => format!("{VERSION}+cu128"),
        }
    }

    /// Without these the folder is not whole.
    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Cpu => &[
                "lib/libtorch.so",
                "lib/libtorch_cpu.so",
                "lib/libc10.so",
                "lib/libgomp.so.1",
                "lib/libcudart.so.12",
                "lib/libcupti.so.12",
                "include/torch",
            ],
            Self::Cuda => &[
                "lib/libtorch.so",
                "lib/libtorch_cpu.so",
                "lib/libtorch_cuda.so",
                "lib/libc10_cuda.so",
                "lib/libcudart.so.12",
                "lib/libcudnn.so.9",
                "include/torch",
            ],
        }
    }

    fn sizes(self) -> &'static str {
        match self {
            Self::Cpu => "0.9 GB of download, 3 GB of disk while unpacking, 0.5 GB kept",
            Self::Cuda => "3.9 GB of download, 11 GB of disk while unpacking, 6.1 GB kept",
        }
    }
}

/// Where LibTorch lives.
pub(crate) fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("libtorch")
}

/// Lets a build and a run with the `tch` backend find LibTorch: what the user has set, or else the folder that `setup-libtorch` fills.
pub(crate) fn environment(workspace: &Workspace) -> Result<Vec<(&'static str, String)>> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("LIBTORCH") || is_set("LIBTORCH_USE_PYTORCH") {
        return Ok(vec![]);
    }
    let folder = folder(workspace);
    ensure!(
        [Kind::Cpu, Kind::Cuda].into_iter().any(|kind| is_whole(&folder, kind)),
        "backend `tch` needs LibTorch {VERSION}: run `cargo xtask setup-libtorch` ({}), or `cargo xtask setup-libtorch --cuda`, {FIX}",
        Kind::Cpu.sizes()
    );
    let mut libraries = folder.join("lib").into_os_string();
    if let Some(others) = std::env::var_os("LD_LIBRARY_PATH").filter(|others| !others.is_empty()) {
        libraries.push(":");
        libraries.push(others);
    }
    let text = |path: std::ffi::OsString| path.into_string().map_err(|path| anyhow::anyhow!("{} is not UTF-8", Path::new(&path).display()));
    Ok(vec![("LIBTORCH", text(folder.into_os_string())?), ("LD_LIBRARY_PATH", text(libraries)?)])
}

fn is_whole(folder: &Path, kind: Kind) -> bool {
    let version = fs::read_to_string(folder.join("build-version")).unwrap_or_default();
    version.trim() == kind.version() && kind.files().iter().all(|file| folder.join(file).exists())
}

/// Downloads, unpacks, keeps what is needed; does nothing if that is done.
pub(crate) fn setup(workspace: &Workspace, args: &[String]) -> Result<()> {
    let kind = match args {
        [] => Kind::Cpu,
        [flag] if flag == "--cuda" => Kind::Cuda,
        _ => bail!("usage: cargo xtask setup-libtorch [--cuda]"),
    };
    let folder = folder(workspace);
    if is_whole(&folder, kind) {
        eprintln!("LibTorch {} is in {} already.", kind.version(), folder.display());
        return Ok(());
    }
    eprintln!("LibTorch {} into {}: {}.", kind.version(), folder.display(), kind.sizes());
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "this works on x86-64 Linux alone; elsewhere unpack LibTorch {VERSION} and set LIBTORCH to its folder"
    );
    ensure!(answers("python3", &["--version"]), "python3 is missing: it downloads and unpacks the wheels; install it, {FIX}");
    ensure!(answers("g++", &["--version"]), "g++ is missing: LibTorch's bindings are C++; install it (Debian: apt-get install g++), {FIX}");

    let work = workspace.target.join("libtorch-download");
    let (wheels, unpacked, ready) = (work.join("wheels"), work.join("unpacked"), work.join("libtorch"));
    // Wheels are whole or absent, so they survive an interruption; what was unpacked may be half there.
    for half in [&unpacked, &ready] {
        remove(half)?;
    }
    for new in [&wheels, &unpacked] {
        fs::create_dir_all(new).with_context(|| format!("cannot create {}", new.display()))?;
    }
    let python = python_with_pip(&work)?;
    download(&python, &wheels, &[format!("torch=={VERSION}")])?;
    unpack(&python, &wheels, &unpacked)?;
    let packages = match kind {
        Kind::Cpu => vec![format!("nvidia-cuda-runtime-cu12=={CUDA}"), format!("nvidia-cuda-cupti-cu12=={CUDA}")],
        Kind::Cuda => {
            let path = unpacked.join(format!("torch-{VERSION}.dist-info/METADATA"));
            nvidia_packages(&fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?)
        }
    };
    download(&python, &wheels, &packages)?;
    unpack(&python, &wheels, &unpacked)?;
    assemble(kind, &unpacked, &ready)?;
    remove(&folder)?;
    fs::rename(&ready, &folder).with_context(|| format!("cannot move {} to {}", ready.display(), folder.display()))?;
    ensure!(is_whole(&folder, kind), "{} lacks a file of {}", folder.display(), kind.files().join(", "));
    remove(&work)?;
    eprintln!("Done. Now: `cargo xtask train mnist-cnn --backend tch`, `cargo xtask test --backend tch`.");
    Ok(())
}

/// The interpreter itself if it has pip, or else one in a virtual environment.
fn python_with_pip(work: &Path) -> Result<PathBuf> {
    if answers("python3", &["-m", "pip", "--version"]) {
        return Ok("python3".into());
    }
    let venv = work.join("venv");
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&venv);
    if !make.output().is_ok_and(|output| output.status.success()) {
        bail!("python3 has neither pip nor venv; install one (Debian: apt-get install python3-venv), {FIX}");
    }
    Ok(venv.join("bin").join("python3"))
}

/// Named by platform and Python version, so that any interpreter gets the same files.
fn download(python: &Path, wheels: &Path, packages: &[String]) -> Result<()> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"]);
    pip.args(["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_27_x86_64", "--platform", "manylinux2014_x86_64"]);
    pip.arg("--dest").arg(wheels).args(packages);
    succeed(&mut pip).context("the download failed; the same command takes it up again")
}

fn unpack(python: &Path, wheels: &Path, unpacked: &Path) -> Result<()> {
    for wheel in list(wheels)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "whl")) {
        let done = unpacked.join(wheel.file_name().unwrap_or_default()).with_extension("done");
        if !done.exists() {
            eprintln!("Unpacking {}", wheel.file_name().unwrap_or_default().to_string_lossy());
            succeed(Command::new(python).args(["-m", "zipfile", "-e"]).args([&wheel, unpacked]))
                .with_context(|| format!("{} does not unpack; delete it and start again", wheel.display()))?;
            fs::write(&done, "").with_context(|| format!("cannot write {}", done.display()))?;
        }
    }
    Ok(())
}

/// The packages of NVIDIA that PyTorch's metadata asks for on Linux.
fn nvidia_packages(metadata: &str) -> Vec<String> {
    let required = metadata.lines().filter_map(|line| line.strip_prefix("Requires-Dist: "));
    required.filter(|line| line.starts_with("nvidia-")).map(|line| line.split(';').next().unwrap_or(line).trim().to_owned()).collect()
}

/// Moves the libraries and headers that are needed into `ready`.
fn assemble(kind: Kind, unpacked: &Path, ready: &Path) -> Result<()> {
    let lib = ready.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot create {}", lib.display()))?;
    let torch = unpacked.join("torch");
    let mut libraries = match kind {
        Kind::Cpu => ["libtorch_cpu.so", "libc10.so", "libgomp.so.1"].map(|file| torch.join("lib").join(file)).to_vec(),
        Kind::Cuda => list(&torch.join("lib"))?,
    };
    for package in list(&unpacked.join("nvidia"))? {
        if package.join("lib").is_dir() {
            libraries.extend(list(&package.join("lib"))?);
        }
    }
    for library in libraries {
        let name = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let needed = match kind {
            Kind::Cpu => torch.join("lib").join(&name).exists() || name == "libcudart.so.12" || name == "libcupti.so.12",
            Kind::Cuda => name.contains(".so") && !name.contains("python"),
        };
        if needed {
            rename(&library, &lib.join(&name))?;
        }
    }
    rename(&torch.join("include"), &ready.join("include"))?;
    if kind == Kind::Cpu {
        stub(&lib)?;
    }
    let version = ready.join("build-version");
    fs::write(&version, kind.version()).with_context(|| format!("cannot write {}", version.display()))
}

/// The wheel's `libtorch.so` needs CUDA; all that a linker wants of it is that it leads to the other two.
fn stub(lib: &Path) -> Result<()> {
    let mut link = Command::new("g++");
    link.args(["-shared", "-fPIC", "-o", "libtorch.so", "-Wl,-soname,libtorch.so", "-Wl,--no-as-needed", "-L.", "-ltorch_cpu", "-lc10"]);
    link.args(["-Wl,-rpath,$ORIGIN", "-Wl,--unresolved-symbols=ignore-all"]).current_dir(lib);
    succeed(&mut link).with_context(|| format!("in {}: {}", lib.display(), spell(&link)))
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this process's own, gone at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("fornax-xtask-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
        fn touch(&self, file: &str) {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn packages_come_from_the_wheels_metadata() {
        let metadata = "Name: torch\nRequires-Dist: filelock\nRequires-Dist: nvidia-cublas-cu12==12.8.4.1; platform_system == \"Linux\"\n\
                        Requires-Dist: nvidia-nccl-cu12==2.27.5\nRequires-Dist: triton==3.5.0; platform_system == \"Linux\"\n";
        assert_eq!(nvidia_packages(metadata), ["nvidia-cublas-cu12==12.8.4.1", "nvidia-nccl-cu12==2.27.5"]);
    }

    #[test]
    fn a_folder_is_whole_with_its_version_and_every_file() {
        let scratch = Scratch::new("whole");
        for file in Kind::Cpu.files() {
            scratch.touch(file);
        }
        assert!(!is_whole(&scratch.0, Kind::Cpu));
        fs::write(scratch.0.join("build-version"), "2.9.0+cpu\n").unwrap();
        assert!(is_whole(&scratch.0, Kind::Cpu) && !is_whole(&scratch.0, Kind::Cuda));
        fs::remove_file(scratch.0.join("lib/libcupti.so.12")).unwrap();
        assert!(!is_whole(&scratch.0, Kind::Cpu));
    }

    #[test]
    fn assembling_for_cuda_keeps_the_libraries_of_both() {
        let scratch = Scratch::new("cuda");
        for file in [
            "torch/lib/libtorch.so",
            "torch/lib/libtorch_cpu.so",
            "torch/lib/libtorch_cuda.so",
            "torch/lib/libc10_cuda.so",
            "torch/lib/libtorch_python.so",
        ] {
            scratch.touch(file);
        }
        for file in
            ["torch/include/torch/all.h", "nvidia/cudnn/lib/libcudnn.so.9", "nvidia/cuda_runtime/lib/libcudart.so.12", "nvidia/cudnn/include/cudnn.h"]
        {
            scratch.touch(file);
        }
        let ready = scratch.0.join("ready");
        assemble(Kind::Cuda, &scratch.0, &ready).unwrap();
        assert!(is_whole(&ready, Kind::Cuda));
        assert!(!ready.join("lib/libtorch_python.so").exists());
    }

    #[test]
    fn other_arguments_are_refused() {
        let workspace = Workspace { root: "/nowhere".into(), target: "/nowhere/target".into(), metadata: serde_json::Value::Null };
        assert!(setup(&workspace, &["--gpu".into()]).unwrap_err().to_string().starts_with("usage:"));
    }
}
