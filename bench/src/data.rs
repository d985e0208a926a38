//! What is written and read on both sides: the same accounts, payloads and metadata.

use es_core::{Metadata, event_applier, wire::EventMetadata};
use prost::Message;

use crate::bench::v1::{Account, DepositCommand, MoneyDeposited};

/// The stream type of an account, as the generated code stores it.
pub(crate) const STREAM_TYPE: &str = "bench.v1.Account";
/// The event's stored name.
pub(crate) const EVENT_TYPE: &str = "bench.v1.MoneyDeposited";

/// With the id and the amount, this makes an event of 100 bytes.
const MEMO: &str = "salary for the eleventh month, paid by the head office";
/// With the correlation id, this makes metadata of 80 bytes.
const PRINCIPAL: &str = "sso|employees|108204268033311374519000ab";

#[event_applier]
impl Account {
    pub(crate) fn deposited(&mut self, event: &MoneyDeposited) {
        self.account_id.clone_from(&event.account_id);
        self.balance_cents += event.cents;
        self.last_memo.clone_from(&event.memo);
    }
}

/// The id of an account: as long as a UUID, and in no order.
pub(crate) fn account_id(number: u64) -> String {
    // A bijection of 64 bits, so that neighbours by number are none by name.
    let mixed = (number ^ 0x5851_f42d_4c95_7f2d).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
    let mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let (head, tail) = (mixed >> 32, mixed & 0xffff_ffff);
    format!("{head:08x}-{:04x}-4000-8000-{tail:012x}", number & 0xffff)
}

/// An id of one call, as long as a UUID.
pub(crate) fn call_id(caller: u64, call: u64) -> String {
    format!("{caller:08x}-0000-8000-8000-{call:012x}")
}

/// A command to an account.
pub(crate) fn deposit(account_id: &str, call: u64) -> DepositCommand {
    DepositCommand { account_id: account_id.into(), cents: cents(call), memo: MEMO.into() }
}

/// The event such a command leads to.
pub(crate) fn deposited(account_id: &str, call: u64) -> MoneyDeposited {
    MoneyDeposited { account_id: account_id.into(), cents: cents(call), memo: MEMO.into() }
}

fn cents(call: u64) -> i64 {
    1_000 + (call % 9_000).cast_signed()
}

/// What a caller says about a call.
pub(crate) fn metadata(caller: u64, call: u64) -> Metadata {
    Metadata::default().correlation(call_id(caller, call)).principal(PRINCIPAL)
}

/// The stored form of [`metadata`].
pub(crate) fn stored_metadata(caller: u64, call: u64, command_id: Option<&str>) -> Vec<u8> {
    let metadata = EventMetadata {
        command_id: command_id.unwrap_or_default().to_owned(),
        correlation_id: call_id(caller, call),
        principal_id: PRINCIPAL.to_owned(),
        ..EventMetadata::default()
    };
    metadata.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_size_that_is_promised() {
        assert_eq!(deposited(&account_id(7), 7).encoded_len(), 97);
        assert_eq!(stored_metadata(7, 7, None).len(), 80);
        assert_eq!(stored_metadata(7, 7, None), metadata(7, 7).to_stored(None, &[]));
    }

    #[test]
    fn no_two_accounts_share_an_id() {
        let ids: std::collections::HashSet<_> = (0..100_000).map(account_id).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
