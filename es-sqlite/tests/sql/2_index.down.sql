DROP INDEX by_cents;
