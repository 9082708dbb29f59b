//! Backends by name, and the threads that they use.
//!
//! The one file with Burn's backend constructors, two of which are deprecated: 0.22 is the last line with NdArray and LibTorch.

use burn::tensor::Device;
use std::{fmt, str::FromStr};

/// Why there is no such device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is not one of the five.
    #[error("unknown backend `{name}`; choose one of {}", BackendName::names())]
    UnknownBackend {
        /// What was asked for.
        name: String,
    },
    /// This build lacks the backend's feature.
    #[error("backend `{0}` is not compiled in; build with `--features {0}` (`cargo xtask` does so for `--backend {0}`), or use one of: {1}")]
    NotCompiledIn(BackendName, String),
    /// The backend has no device of that name.
    #[error("backend `{backend}` has no device `{device}`; it takes {takes}")]
    UnknownDevice {
        /// The backend that was asked.
        backend: BackendName,
        /// The device that it lacks.
        device: String,
        /// What it takes instead.
        takes: &'static str,
    },
}

/// A backend, whether or not this build contains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendName {
    /// Pure Rust on a CPU; the default.
    Flex,
    /// The `ndarray` crate on a CPU.
    NdArray,
    /// LibTorch, on a CPU or CUDA.
    Tch,
    /// Vulkan, Metal, DirectX 12 or WebGPU.
    Wgpu,
    /// CUDA through CubeCL.
    Cuda,
}

impl BackendName {
    /// Every backend.
    pub const ALL: [Self; 5] = [Self::Flex, Self::NdArray, Self::Tch, Self::Wgpu, Self::Cuda];

    /// The feature and command-line name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::NdArray => "ndarray",
            Self::Tch => "tch",
            Self::Wgpu => "wgpu",
            Self::Cuda => "cuda",
        }
    }

    /// Whether this build contains it.
    pub fn is_compiled_in(self) -> bool {
        match self {
            Self::Flex => cfg!(feature = "flex"),
            Self::NdArray => cfg!(feature = "ndarray"),
            Self::Tch => cfg!(feature = "tch"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Cuda => cfg!(feature = "cuda"),
        }
    }

    /// The backends of this build.
    pub fn compiled_in() -> Vec<Self> {
        Self::ALL.into_iter().filter(|backend| backend.is_compiled_in()).collect()
    }

    /// Opens a device: `cpu`, `cuda` or `cuda:1`. Without a name, the backend's first.
    ///
    /// # Errors
    /// If the backend is not compiled in, or has no such device.
    pub fn device(self, device: Option<&str>) -> Result<Device, DeviceError> {
        if !self.is_compiled_in() {
            let others = Self::compiled_in().iter().map(|b| b.name()).collect::<Vec<_>>().join(", ");
            return Err(DeviceError::NotCompiledIn(self, others));
        }
        let (kind, index) = parse_device(device).ok_or_else(|| self.unknown(device.unwrap_or_default()))?;
        self.open(kind, index).ok_or_else(|| self.unknown(device.unwrap_or_default()))
    }

    fn open(self, kind: Option<Kind>, index: usize) -> Option<Device> {
        let cpu = kind != Some(Kind::Cuda);
        match self {
            #[cfg(feature = "flex")]
            Self::Flex if cpu => Some(Device::flex()),
            #[cfg(feature = "ndarray")]
            #[expect(deprecated, reason = "promised by this project; goes with Burn 0.23")]
            Self::NdArray if cpu => Some(Device::ndarray()),
            #[cfg(feature = "tch")]
            #[expect(deprecated, reason = "promised by this project; goes with Burn 0.23")]
            Self::Tch => Some(if cpu { Device::libtorch() } else { Device::libtorch_cuda(index) }),
            #[cfg(feature = "wgpu")]
            Self::Wgpu if kind.is_none() => Some(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "cuda")]
            Self::Cuda if kind != Some(Kind::Cpu) => Some(Device::cuda(index)),
            _ => {
                let _ = (cpu, index);
                None
            }
        }
    }

    fn unknown(self, device: &str) -> DeviceError {
        let takes = match self {
            Self::Flex | Self::NdArray => "`cpu`",
            Self::Tch => "`cpu` or `cuda:0`",
            Self::Wgpu => "no device name",
            Self::Cuda => "`cuda:0`",
        };
        DeviceError::UnknownDevice { backend: self, device: device.into(), takes }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BackendName {
    type Err = DeviceError;
    fn from_str(name: &str) -> Result<Self, DeviceError> {
        Self::ALL.into_iter().find(|backend| backend.name() == name).ok_or_else(|| DeviceError::UnknownBackend { name: name.into() })
    }
}

/// Whether the device, or the one inside an autodiff device, is one whose tensors are slices to us: Flex or NdArray.
pub(crate) fn is_memory(device: &Device) -> bool {
    use burn::backend::DispatchDevice;
    let plain = |device: &DispatchDevice| match device {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        #[allow(unreachable_patterns, reason = "depends on the backends compiled in")]
        _ => false,
    };
    match device.as_dispatch() {
        DispatchDevice::Autodiff(inner) => plain(inner),
        device => plain(device),
    }
}

#[derive(PartialEq, Clone, Copy)]
enum Kind {
    Cpu,
    Cuda,
}

fn parse_device(name: Option<&str>) -> Option<(Option<Kind>, usize)> {
    match name {
        None => Some((None, 0)),
        Some("cpu") => Some((Some(Kind::Cpu), 0)),
        Some("cuda") => Some((Some(Kind::Cuda), 0)),
        Some(name) => Some((Some(Kind::Cuda), name.strip_prefix("cuda:")?.parse().ok()?)),
    }
}

/// Of a thread of the pool, bytes: what a process's first thread has, as whole commands run there ([`in_pool`]).
const STACK: usize = 8 << 20;

/// Sets the threads of every CPU backend in this process. Call it before the first tensor; later calls are ignored.
///
/// The same number of threads gives the same bits.
pub fn set_threads(threads: usize) {
    let threads = threads.max(1);
    // An error means that the pool exists already, which is what "later calls are ignored" says.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build_global();
    #[cfg(feature = "tch")]
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// Runs `f` on a thread of the pool that every CPU backend works with, so that an operation need not wake one and wait for it: for a step of
/// many small operations. Randomness ([`crate::random::set_step_key`]) is set within `f`.
pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| f())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for backend in BackendName::ALL {
            assert_eq!(backend.name().parse(), Ok(backend));
        }
        let error = "tensorflow".parse::<BackendName>().unwrap_err().to_string();
        assert!(error.contains("tensorflow") && error.contains("flex, ndarray, tch, wgpu, cuda"), "{error}");
    }

    #[test]
    fn a_backend_that_is_not_compiled_in_names_its_flag() {
        for backend in BackendName::ALL.into_iter().filter(|b| !b.is_compiled_in()) {
            let error = backend.device(None).unwrap_err().to_string();
            assert!(error.contains(&format!("--features {backend}")), "{error}");
        }
    }

    #[test]
    #[cfg(feature = "flex")]
    fn devices_are_checked() {
        assert!(BackendName::Flex.device(None).is_ok());
        assert!(BackendName::Flex.device(Some("cpu")).is_ok());
        for bad in ["cuda:0", "gpu", "cuda:x", ""] {
            let error = BackendName::Flex.device(Some(bad)).unwrap_err().to_string();
            assert!(error.contains("`cpu`"), "{error}");
        }
    }
}
