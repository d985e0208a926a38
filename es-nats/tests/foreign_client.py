"""A client of the bank that knows its .proto files and NATS, and nothing else of the program that serves it.

Arguments: the server's URL, and a file with the descriptors of bank/v1/account.proto and eventsourcing/response.proto, as
this writes it: protoc -I proto -I examples/bank/proto --include_imports --descriptor_set_out=bank.bin
bank/v1/account.proto eventsourcing/response.proto
"""

import asyncio
import json
import sys

import nats
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

url, descriptors = sys.argv[1:]
pool = descriptor_pool.DescriptorPool()
with open(descriptors, "rb") as file:
    for proto in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
        pool.Add(proto)


def message(name, **fields):
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))(**fields)


async def call(client, subject, request, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await client.request(subject, request.SerializeToString(), timeout=30, headers=headers or None)
    response = message("eventsourcing.Response")
    response.ParseFromString(reply.data)
    return response


def data(response, name):
    assert response.success, response
    assert response.data.type_url == "type.googleapis.com/" + name, response
    read = message(name)
    read.ParseFromString(response.data.value)
    return read


async def main():
    client = await nats.connect(url)
    bank = "bank.v1.AccountCommandService."

    opened = await call(client, bank + "OpenAccount", message("bank.v1.OpenAccountCommand", owner="Grace"))
    account = data(opened, "bank.v1.AccountResponse").account_id
    assert opened.receipt.type == "bank.v1.Account" and opened.receipt.id == account, opened
    assert (opened.receipt.version, opened.receipt.position, opened.receipt.replayed) == (1, 1, False), opened

    deposit = message("bank.v1.DepositCommand", account_id=account, cents=500)
    first = await call(client, bank + "Deposit", deposit, Command_ID="python-1", Principal_ID="grace")
    assert data(first, "bank.v1.AccountResponse").balance_cents == 500, first
    assert first.receipt.version == 2 and not first.receipt.replayed, first

    again = await call(client, bank + "Deposit", deposit, Command_ID="python-1", Principal_ID="grace")
    assert again.data.value == first.data.value and again.receipt.replayed, again
    assert again.receipt.position == first.receipt.position, again

    other = message("bank.v1.DepositCommand", account_id=account, cents=501)
    reused = await call(client, bank + "Deposit", other, Command_ID="python-1")
    assert not reused.success and reused.error.code == "COMMAND_ID_REUSED", reused

    too_much = message("bank.v1.WithdrawCommand", account_id=account, cents=501)
    refused = await call(client, bank + "Withdraw", too_much, Message_Type="bank.v1.WithdrawCommand")
    assert not refused.success and not refused.HasField("data"), refused
    assert refused.error.code == "INSUFFICIENT_FUNDS", refused
    assert refused.error.message == "the balance is too low", refused
    assert refused.error.solution == "deposit first, or ask for less", refused
    assert refused.error.details["balance_cents"] == "500", refused
    statuses = pool.FindEnumTypeByName("eventsourcing.Status").values_by_name
    assert refused.error.status == statuses["STATUS_FAILED_PRECONDITION"].number, refused

    wrong_type = await call(client, bank + "Deposit", deposit, Message_Type="bank.v1.WithdrawCommand")
    assert not wrong_type.success, wrong_type

    async with asyncio.timeout(30):
        while True:
            listed = await call(client, "bank.v1.AccountQueryService.ListAccounts", message("bank.v1.ListAccountsRequest"))
            accounts = data(listed, "bank.v1.ListAccountsResponse").accounts
            if [(it.account_id, it.owner, it.balance_cents) for it in accounts] == [(account, "Grace", 500)]:
                break

    info = json.loads((await client.request("$SRV.INFO.bank-v1-AccountCommandService", timeout=30)).data)
    subjects = {endpoint["subject"] for endpoint in info["endpoints"]}
    assert bank + "Deposit" in subjects and info["metadata"]["store-id"], info
    print(account)
    await client.close()


asyncio.run(main())
