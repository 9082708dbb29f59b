use burn::tensor::Device;
use fornax_kernels::device::BackendName;

const VARIABLE: &str = "FORNAX_TEST_BACKEND";

/// The backends under test: the one that `FORNAX_TEST_BACKEND` names, otherwise Flex and, where it is compiled in, NdArray.
///
/// # Panics
/// If the variable names no backend of this build.
pub fn backends() -> Vec<BackendName> {
    match std::env::var(VARIABLE) {
        Ok(name) => vec![name.parse().unwrap_or_else(|error| panic!("{VARIABLE}: {error}"))],
        Err(_) => [BackendName::Flex, BackendName::NdArray].into_iter().filter(|backend| backend.is_compiled_in()).collect(),
    }
}

/// A device of each of [`backends`], without autodiff.
pub fn devices() -> Vec<Device> {
    backends().into_iter().map(open).collect()
}

/// The first of [`devices`]: for what is too slow to run on each.
pub fn device() -> Device {
    open(backends()[0])
}

fn open(backend: BackendName) -> Device {
    backend.device(None).unwrap_or_else(|error| panic!("{VARIABLE}: {error}"))
}
