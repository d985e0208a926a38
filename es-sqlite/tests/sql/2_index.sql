CREATE INDEX by_cents ON balance (cents);
