//! What a configuration may refer to: the variables of the application, and files that are mounted.

use spin_sdk::variables;
use weir::config::Surroundings;

/// The application's.
pub(crate) struct Application;

impl Surroundings for Application {
    /// The variable of the lower-case name. An application has to declare its variables with a value, so an empty
    /// one is one that is not set.
    fn env(&self, name: &str) -> Option<String> {
        variables::get(&name.to_ascii_lowercase()).ok().filter(|value| !value.is_empty())
    }

    fn file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn simulated(&self) -> Option<http::Uri> {
        None
    }
}
