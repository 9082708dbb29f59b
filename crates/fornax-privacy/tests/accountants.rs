//! The accountants against Opacus (`reference/privacy.py`), and against themselves.

use fornax_privacy::accountant::{Accountant, SubsampledGaussian, gdp, prv, rdp};
use serde_json::Value;

fn close(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!((got - want).abs() <= tolerance * want.abs().max(1e-3), "{what}: {got}, not {want}");
}

fn table() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("reference/accountants.json")).unwrap();
    all.as_array().unwrap().clone()
}

fn mechanism(row: &Value) -> (SubsampledGaussian, u64, f64) {
    let number = |key: &str| row[key].as_f64().unwrap();
    (SubsampledGaussian { rate: number("rate"), noise: number("noise") }, row["steps"].as_u64().unwrap(), number("delta"))
}

#[test]
fn the_published_values() {
    let one = SubsampledGaussian { rate: 0.04, noise: 1.5 };
    close(Accountant::Rdp.epsilon(one, 2250, 1e-5), 7.32911117143, 1e-11, "RDP");
    // Opacus' tests: ⌊90 / 0.04⌋ is 2,249 in floating point.
    let gdp = Accountant::Gdp.epsilon(one, 2249, 1e-5);
    assert!(6.59 < gdp && gdp < 6.60, "{gdp}");
    let bounds = prv::epsilon(one, 2249, 1e-5, 0.01, 1e-8);
    assert!((bounds.upper - 6.777395712150674).abs() < 5e-4, "{bounds:?}");
    let digits = rdp::RdpAccountant::new(SubsampledGaussian { rate: 150.0 / 60_000.0, noise: 1.3 }).spent(15 * 60_000 / 150, 1e-5);
    close(digits.epsilon, 0.72422, 1e-5, "60,000 digits");
    assert_eq!(digits.order, Some(19.0));
}

#[test]
fn every_row_of_the_table() {
    for row in table() {
        let (one, steps, delta) = mechanism(&row);
        let spent = rdp::RdpAccountant::new(one).spent(steps, delta);
        close(spent.epsilon, row["rdp"].as_f64().unwrap(), 1e-9, &format!("RDP of {row}"));
        assert_eq!(spent.order, row["order"].as_f64(), "{row}");
        close(gdp::mu(one, steps), row["mu"].as_f64().unwrap(), 1e-9, &format!("μ of {row}"));
        close(Accountant::Gdp.epsilon(one, steps, delta), row["gdp"].as_f64().unwrap(), 1e-8, &format!("GDP of {row}"));
        let bounds = prv::epsilon(one, steps, delta, 0.01, delta / 1000.0);
        for (got, key) in [(bounds.lower, "prv_lower"), (bounds.estimate, "prv_estimate"), (bounds.upper, "prv_upper")] {
            // Two grids of one mesh that begin at different points.
            assert!((got - row[key].as_f64().unwrap().max(0.0)).abs() < 5e-4, "{key} of {row}: {got}");
        }
    }
}

#[test]
fn orders_are_computed_as_the_reference_does() {
    for row in table() {
        let (one, ..) = mechanism(&row);
        for pair in row["by_order"].as_array().unwrap() {
            let (order, want) = (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap());
            close(rdp::of_order(one, order), want, 1e-8, &format!("order {order} of {row}"));
        }
    }
}

#[test]
fn without_sampling_prv_is_the_gaussian_mechanism() {
    // k steps of deviation σ are one of deviation σ / √k, whose δ(ε) is known exactly.
    for (noise, steps) in [(4.0, 1), (20.0, 100), (30.0, 1000)] {
        let exact = gdp::epsilon((steps as f64).sqrt() / noise, 1e-5);
        let bounds = prv::epsilon(SubsampledGaussian { rate: 1.0, noise }, steps, 1e-5, 0.01, 1e-8);
        assert!(bounds.lower <= exact && exact <= bounds.upper, "{exact} {bounds:?}");
        assert!((bounds.estimate - exact).abs() < 1e-3, "{exact} {bounds:?}");
    }
}

#[test]
fn prv_is_below_rdp_and_both_grow() {
    let mut before = 0.0;
    for steps in [1, 10, 100, 1000] {
        let one = SubsampledGaussian { rate: 0.02, noise: 1.1 };
        let [rdp, prv] = [Accountant::Rdp, Accountant::Prv].map(|a| a.epsilon(one, steps, 1e-5));
        assert!(prv <= rdp + 0.02 && rdp > before, "{steps}: {prv} {rdp}");
        before = rdp;
    }
}

#[test]
fn noise_is_found_for_a_budget() {
    for (accountant, budgets) in [(Accountant::Rdp, 3), (Accountant::Gdp, 3), (Accountant::Prv, 1)] {
        for (epsilon, rate, steps) in [(3.0, 0.01, 2000), (1.0, 0.05, 300), (8.0, 0.2, 50)].into_iter().take(budgets) {
            let noise = accountant.noise(epsilon, 1e-5, rate, steps).unwrap();
            let spent = accountant.epsilon(SubsampledGaussian { rate, noise }, steps, 1e-5);
            assert!(spent <= epsilon && spent > 0.98 * epsilon - 0.02, "{accountant:?} {epsilon}: {spent} with {noise}");
        }
    }
    assert_eq!(Accountant::Rdp.noise(1e-9, 1e-5, 1.0, 1 << 40), None);
}

#[test]
fn the_ends() {
    let none = SubsampledGaussian { rate: 0.0, noise: 1.0 };
    let all = SubsampledGaussian { rate: 1.0, noise: 0.0 };
    for accountant in [Accountant::Rdp, Accountant::Gdp, Accountant::Prv] {
        assert_eq!(accountant.epsilon(none, 100, 1e-5), 0.0, "{accountant:?}");
        assert_eq!(accountant.epsilon(SubsampledGaussian { rate: 0.5, noise: 1.0 }, 0, 1e-5), 0.0, "{accountant:?}");
        assert_eq!(accountant.epsilon(all, 1, 1e-5), f64::INFINITY, "{accountant:?}");
    }
    // Hardly any noise: no panic, and a bound that says so.
    assert!(Accountant::Prv.epsilon(SubsampledGaussian { rate: 0.5, noise: 0.05 }, 1000, 1e-5) > 1000.0);
    assert!(Accountant::Rdp.epsilon(SubsampledGaussian { rate: 0.5, noise: 0.05 }, 1000, 1e-5) > 1000.0);
}
