//! `cargo xtask hpa`: prints what the autoscalers of `k8s/` do in a flood.
#![expect(clippy::print_stdout, reason = "the table is what it is run for")]

use std::{error::Error, path::Path};

use weir_hpa::{
    Spec,
    flood::table::{self, Profile},
};

fn main() -> Result<(), Box<dyn Error>> {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s/components");
    let read = |component: &str| -> Result<Spec, Box<dyn Error>> {
        let path = components.join(component).join("horizontal-pod-autoscaler.yaml");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Spec::parse(&text)?)
    };
    let reference = read("autoscaling-reference")?;
    let flood = read("autoscaling-flood")?;
    let few = Spec { minimum: reference.minimum, ..flood.clone() };
    let from_few = format!("flood from {}", few.minimum);
    let profiles = [("reference".to_owned(), reference), ("flood".to_owned(), flood), (from_few, few)];
    print!("{}", table::render(&profiles.map(|(name, spec)| Profile { name, spec }))?);
    Ok(())
}
