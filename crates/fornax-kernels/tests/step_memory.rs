//! A step of an optimizer in one pass allocates nothing that grows with the parameter.
#![cfg(any(feature = "flex", feature = "ndarray"))]

use burn::tensor::{Device, Tensor};
use fornax_kernels::device::BackendName;
use fornax_kernels::step::{Update, step};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes of allocations that are too large for a shape or a task.
struct Counting;

const LARGE: usize = 2048;
static BYTES: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "every call is handed on to the system's allocator as it came")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE {
            BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        }
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Debug)]
struct Sum;

impl<const N: usize> Update<N> for Sum {
    #[inline(always)]
    fn update(&self, param: &mut [f32], grad: &[f32], slots: [&mut [f32]; N]) {
        param.iter_mut().zip(grad).for_each(|(p, g)| *p += g);
        slots.into_iter().for_each(|slot| slot.iter_mut().zip(grad).for_each(|(s, g)| *s += g));
    }
}

fn check<const N: usize>(device: &Device) {
    const ELEMENTS: usize = 300_001;
    let grad = Tensor::<1>::ones([ELEMENTS], device);
    let mut param = Tensor::<1>::zeros([ELEMENTS], device);
    let mut slots: [Tensor<1>; N] = std::array::from_fn(|_| Tensor::zeros([ELEMENTS], device));
    // The first touches threads and shared zeros.
    (param, slots) = step(Sum, param, grad.clone(), slots);
    // What a step allocates, every step does; the queues of the thread pool grow now and then.
    let mut least = usize::MAX;
    for _ in 0..3 {
        let before = BYTES.load(Ordering::Relaxed);
        (param, slots) = step(Sum, param, grad.clone(), slots);
        least = least.min(BYTES.load(Ordering::Relaxed) - before);
    }
    assert_eq!(least, 0, "{N} slots");
    for tensor in slots.into_iter().chain([param]) {
        assert_eq!(tensor.min().into_scalar::<f32>(), 4.0);
    }
}

#[test]
fn a_step_allocates_nothing_after_the_first() {
    for name in ["flex", "ndarray"] {
        let Ok(device) = name.parse::<BackendName>().and_then(|name| name.device(None)) else { continue };
        check::<0>(&device);
        check::<1>(&device);
        check::<2>(&device);
        check::<3>(&device);
    }
}
