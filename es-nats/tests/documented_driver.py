
# What a test adds to the programs of the documentation: it runs them, and looks.
import sys


class Done(Exception):
    pass


async def tried(url):
    await main(url)
    client = await nats.connect(url)
    [account] = await accounts(client)
    for cents in (500, 7):
        deposit = bank.DepositCommand(account_id=account, cents=cents)
        for _ in range(2):
            response = await call(client, "bank.v1.AccountCommandService.Deposit", deposit, command_id=f"c-{cents}")
            assert response.success, response

    async def handle(position, deposited):
        print(f"position {position}: {deposited.cents} cents")
        if position == 3:
            raise Done

    try:
        async with asyncio.timeout(60):
            await follow(url, 1, handle)
    except Done:
        pass


async def accounts(client):
    """The ids of the bank's accounts, once there are some."""
    async with asyncio.timeout(60):
        while True:
            response = await call(client, "bank.v1.AccountQueryService.ListAccounts", bank.ListAccountsRequest())
            listed = bank.ListAccountsResponse()
            response.data.Unpack(listed)
            if listed.accounts:
                return [account.account_id for account in listed.accounts]


asyncio.run(tried(sys.argv[1]))
