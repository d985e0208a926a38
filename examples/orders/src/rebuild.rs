//! The list of orders, made anew while it is in use.

use es_core::Result;
use indicatif::{ProgressBar, ProgressStyle};
use orders::Shop;

/// Rebuilds the list, with a bar that shows how far it is.
pub(crate) async fn list(shop: &Shop) -> Result<()> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} events, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    let report = |now: &es_core::Rebuilding| {
        bar.set_length(now.head);
        bar.set_position(now.position);
    };
    let position = shop.list.rebuild_with(report).await?;
    bar.finish();
    println!("The list of orders is made anew from {position} events.");
    Ok(())
}
