//! The rows of the table.

mod append;
mod bulk;
mod catch_up_together;
mod command;
mod growth;
mod live;
mod live_other;
mod load;
mod nats;
mod projection;
mod relay;
mod scan;
mod snapshot;

use std::path::Path;

use crate::{
    by_hand::{connection, read, write::Writer},
    data,
    rounds::{Lab, Result, Row, Sample},
};

pub(crate) use self::{growth::report_memory, scan::Log};

/// All rows, in the order they are printed.
pub(crate) fn all() -> Vec<Box<dyn Row>> {
    let mut rows: Vec<Box<dyn Row>> = Vec::new();
    for clients in [64, 1] {
        for ids in [false, true] {
            rows.push(Box::new(command::Commands { clients, ids }));
        }
    }
    rows.push(Box::new(append::Appends { producers: 256 }));
    rows.push(Box::new(append::Appends { producers: 1_024 }));
    rows.push(Box::new(bulk::Bulk::default()));
    rows.extend(load::rows());
    rows.push(Box::new(snapshot::Snapshots::against_by_hand()));
    rows.push(Box::new(snapshot::Snapshots::against_a_short_stream()));
    rows.push(Box::new(scan::Scan::raw()));
    rows.push(Box::new(scan::Scan::handed_over()));
    rows.push(Box::new(projection::CatchUp::same_file()));
    rows.push(Box::new(projection::CatchUp::own_file()));
    rows.extend([1, 4, 16].map(|several| Box::new(catch_up_together::Together::new(several)) as Box<dyn Row>));
    rows.extend([1, 4, 16].map(|projections| Box::new(live::Live { projections }) as Box<dyn Row>));
    rows.push(Box::new(live_other::LiveOther));
    rows.push(Box::new(relay::Relaying::default()));
    rows.extend(growth::rows());
    rows.extend(nats::rows());
    rows
}

/// Writes a file of single-event commits: event after event, for the accounts in this order.
pub(crate) fn fill(lab: &Lab, path: &Path, accounts: impl Iterator<Item = u64>) -> Result<()> {
    lab.runtime.block_on(connection::create(path))?;
    let connection = connection::writer(path)?;
    {
        let mut writer = Writer::new(&connection)?;
        let mut heads = Vec::new();
        writer.begin()?;
        for (n, account) in (1..).zip(accounts) {
            let at = usize::try_from(account)?;
            let id = data::account_id(account);
            while heads.len() <= at {
                heads.push(None);
            }
            let head = match &mut heads[at] {
                Some(head) => head,
                none => none.insert(writer.create(&id)?),
            };
            head.version += 1;
            let payload = prost::Message::encode_to_vec(&data::deposited(&id, n));
            writer.insert(*head, (0, 0), &data::stored_metadata(account, n, None), &payload)?;
            if n % 10_000 == 0 {
                writer.commit()?;
                writer.begin()?;
            }
        }
        writer.commit()?;
    }
    connection::checkpoint(&connection)
}

/// Fails unless a file holds so many events.
pub(crate) fn expect_events(path: &Path, expected: u64) -> Result<()> {
    let found = read::count(&connection::reader(path)?)?;
    if found == expected { Ok(()) } else { Err(format!("{found} events instead of {expected}").into()) }
}

/// Fails unless a round of fresh files stored what it answered, and `before` events that it began with.
pub(crate) fn expect_stored(path: &Path, before: u64, sample: &Sample) -> Result<()> {
    expect_events(path, before + sample.operations)
}
