//! What can be said on the command line.

pub(crate) const USAGE: &str = "\
usage: bank [story [FILE]]             tell what happens in a bank, in this process alone (story.db)
       bank serve [FILE]               serve the bank over NATS, and publish its events (bank.db)
       bank reseed [FILE]              publish all of its events anew, when the stream was lost (bank.db)
       bank project [FILE]             keep a table of balances by what is published (balances.db)
       bank open OWNER                 and, over NATS:
       bank deposit OWNER AMOUNT
       bank withdraw OWNER AMOUNT
       bank transfer OWNER TO AMOUNT
       bank close OWNER
       bank list
       bank statement OWNER

NATS is at NATS_URL, by default nats://127.0.0.1:4222; the servers of a cluster, separated by commas.
Amounts are like 12.50.";

/// One run of the program.
#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Story { file: String },
    Serve { file: String },
    Reseed { file: String },
    Project { file: String },
    Ask(Request),
}

/// What a client wants; owners by name, money in cents.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Open { owner: String },
    Deposit { owner: String, cents: i64 },
    Withdraw { owner: String, cents: i64 },
    Transfer { owner: String, to: String, cents: i64 },
    Close { owner: String },
    List,
    Statement { owner: String },
}

impl Command {
    /// Reads the arguments; what was wrong with them, and the usage.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let arguments: Vec<_> = arguments.collect();
        let words: Vec<_> = arguments.iter().map(String::as_str).collect();
        let file = |default: &str| words.get(1).copied().unwrap_or(default).to_owned();
        let owner = |owner: &str| owner.to_owned();
        Ok(match *words {
            ["help" | "--help" | "-h"] => Self::Help,
            [] | ["story"] | ["story", _] => Self::Story { file: file("story.db") },
            ["serve"] | ["serve", _] => Self::Serve { file: file("bank.db") },
            ["reseed"] | ["reseed", _] => Self::Reseed { file: file("bank.db") },
            ["project"] | ["project", _] => Self::Project { file: file("balances.db") },
            ["open", name] => Self::Ask(Request::Open { owner: owner(name) }),
            ["deposit", name, amount] => Self::Ask(Request::Deposit { owner: owner(name), cents: cents(amount)? }),
            ["withdraw", name, amount] => Self::Ask(Request::Withdraw { owner: owner(name), cents: cents(amount)? }),
            ["transfer", name, to, amount] => {
                Self::Ask(Request::Transfer { owner: owner(name), to: owner(to), cents: cents(amount)? })
            }
            ["close", name] => Self::Ask(Request::Close { owner: owner(name) }),
            ["list"] => Self::Ask(Request::List),
            ["statement", name] => Self::Ask(Request::Statement { owner: owner(name) }),
            _ => return Err(misread(&words)),
        })
    }
}

/// What is wrong with these words, and how it is said.
fn misread(words: &[&str]) -> String {
    let said = words.join(" ");
    let mut forms = USAGE.lines().filter_map(|line| line.get(7..)?.strip_prefix("bank ")?.split("  ").next());
    match forms.find(|form| form.split(' ').next() == words.first().copied()) {
        Some(form) => format!("can't read `{said}`; say `bank {form}`"),
        None => format!("can't read `{said}`\n\n{USAGE}"),
    }
}

/// `12.5`, `12.50` and `12` in cents.
fn cents(amount: &str) -> Result<i64, String> {
    let (whole, part) = amount.split_once('.').unwrap_or((amount, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let cents = format!("{whole}{part:0<2}").parse();
    match cents {
        Ok(cents) if digits(whole) && digits(part) && part.len() <= 2 => Ok(cents),
        _ => Err(format!("`{amount}` is no amount; write it like 12.50")),
    }
}

/// Cents as an amount.
pub(crate) fn euros(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.unsigned_abs() / 100, cents.unsigned_abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn without_a_word_it_tells_the_story() {
        assert_eq!(parse(""), Ok(Command::Story { file: "story.db".into() }));
        assert_eq!(parse("serve my.db"), Ok(Command::Serve { file: "my.db".into() }));
    }

    #[test]
    fn amounts_are_read_to_the_cent_or_not_at_all() {
        for (amount, expected) in [("12.50", 1_250), ("12.5", 1_250), ("12", 1_200), ("0.07", 7)] {
            let deposit = Command::Ask(Request::Deposit { owner: "Ada".into(), cents: expected });
            assert_eq!(parse(&format!("deposit Ada {amount}")), Ok(deposit));
        }
        for wrong in ["1.234", "-5", "1,5", ".5", "5.", "much", "99999999999999999999"] {
            assert!(parse(&format!("deposit Ada {wrong}")).unwrap_err().contains("is no amount"), "{wrong}");
        }
    }

    #[test]
    fn what_it_does_not_know_it_answers_with_its_usage() {
        assert!(parse("rob Ada").unwrap_err().starts_with("can't read `rob Ada`\n\nusage: bank"));
        assert_eq!(parse("deposit Ada").unwrap_err(), "can't read `deposit Ada`; say `bank deposit OWNER AMOUNT`");
        assert_eq!(parse("serve a b").unwrap_err(), "can't read `serve a b`; say `bank serve [FILE]`");
        assert_eq!(parse("open").unwrap_err(), "can't read `open`; say `bank open OWNER`");
    }
}
