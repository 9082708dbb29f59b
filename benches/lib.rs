//! The benches beside this file: `cargo bench -p fornax-benches`. Each checks a value first, then times, then waits for the device.
