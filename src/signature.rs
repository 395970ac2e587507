//! (being written)
use crate::dev::Dev;
use crate::error::Result;
/// Placeholder.
///
/// # Errors
/// None.
pub fn recognise(_dev: &dyn Dev) -> Result<Option<String>> {
    Ok(None)
}
