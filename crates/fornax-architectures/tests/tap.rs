//! The `Tap` seam of every architecture: what is named is seen, in order, and may be replaced.
#![recursion_limit = "256"]

use burn::tensor::{DType, Device, Tensor};
use fornax_architectures::{ConvNet, ConvNetConfig, ImageClassifier, LeNet5, LeNet5Config, Mlp, MlpConfig};
use fornax_layers::{NoTap, Site, Tap};
use fornax_testkit::{bits, devices, uniform};

/// Writes down what it sees.
#[derive(Default)]
struct Record {
    scopes: Vec<(&'static str, usize)>,
    sites: Vec<(Site, Vec<usize>)>,
}

impl Tap for Record {
    fn scope(&mut self, name: &'static str, index: usize) {
        self.scopes.push((name, index));
    }
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        self.sites.push((site, x.dims().to_vec()));
        x
    }
}

/// Puts zeros in place of one site.
struct Zero(Site);

impl Tap for Zero {
    fn tap<const D: usize>(&mut self, site: Site, x: Tensor<D>) -> Tensor<D> {
        if site == self.0 { x.zeros_like() } else { x }
    }
}

fn images(seed: u64, device: &Device) -> Tensor<4> {
    uniform([2, 1, 28, 28], seed, device, DType::F32)
}

/// A tap that looks only changes nothing; one that blanks `site` gives any images the same logits.
fn check<M: ImageClassifier>(build: impl Fn(&Device) -> M, site: Site, scopes: &[(&'static str, usize)], sites: &[(Site, &[usize])]) {
    for device in devices() {
        let model = build(&device);
        let plain = model.forward(images(4, &device));
        let mut record = Record::default();
        assert!(bits(&model.forward_with(images(4, &device), &mut record)) == bits(&plain), "a tap that only looks changes the logits");
        assert!(bits(&model.forward_with(images(4, &device), &mut NoTap)) == bits(&plain));
        assert_eq!(record.scopes, scopes);
        let seen: Vec<(Site, &[usize])> = record.sites.iter().map(|(site, dims)| (*site, dims.as_slice())).collect();
        assert_eq!(seen, sites);

        // Other images in the same rows: LibTorch's product rounds the rows of a batch differently.
        assert!(bits(&plain) != bits(&model.forward(images(5, &device))), "the images differ");
        let blank = |seed| bits(&model.forward_with(images(seed, &device), &mut Zero(site)));
        assert!(blank(4) == blank(5), "the logits still depend on the image");
        assert!(M::SPATIAL.is_none_or(|site| sites.iter().any(|(seen, dims)| *seen == site && dims.len() == 4)), "SPATIAL is never shown");
    }
}

#[test]
fn convnet() {
    let sites: &[(Site, &[usize])] =
        &[(ConvNet::FEATURES, &[2, 32, 26, 26]), (ConvNet::FEATURES, &[2, 64, 24, 24]), (ConvNet::LAST, &[2, 64, 24, 24])];
    let scopes = [("features", 0), ("features", 1)];
    check(|d| ConvNetConfig::tutorial().init(d), ConvNet::FEATURES, &scopes, sites);
    check(|d| ConvNetConfig::tutorial().init(d), ConvNet::LAST, &scopes, sites);
}

#[test]
fn lenet5() {
    check(|d| LeNet5Config::mnist().init(d), LeNet5::CONV2, &[], &[(LeNet5::CONV2, &[2, 16, 10, 10])]);
}

#[test]
fn mlp() {
    let config = MlpConfig { hidden: vec![20, 30], ..MlpConfig::mnist() };
    let scopes = [("hidden", 0), ("hidden", 1)];
    check(|d| config.init(d), Mlp::HIDDEN, &scopes, &[(Mlp::HIDDEN, &[2, 20]), (Mlp::HIDDEN, &[2, 30])]);
}
