"""What a node checks before it executes; the texts are those that clients match.

Source: docs/explanation/sui.md (failures), from the node's errors as seen in 2026.
"""

from __future__ import annotations

from collections.abc import Sequence

from walrus_sdk.codecs import transaction as tx
from walrus_sdk.codecs.keys import parse_signature, verify
from walrus_sdk.errors import CodecError
from walrus_sdk.localnet.chain.gas import MAX_BUDGET
from walrus_sdk.localnet.chain.objects import Objects, StoredObject
from walrus_sdk.localnet.genesis import Genesis
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.units import ObjectId, SuiAddress, SuiEpoch

__all__ = ["Refused", "check_inputs", "check_limits", "check_signatures", "check_validity"]

_MAX_BYTES = 131_072
_MAX_COMMANDS = 1_024
_MAX_PURE = 16_384
_MAX_ARGUMENTS = 512
_MAX_INPUTS = 2_048
_MAX_GAS_COINS = 256


class Refused(Exception):
    """The transaction is refused; nothing happened, nothing is charged."""


def check_limits(data: bytes, transaction: tx.TransactionData) -> None:
    """Refuse what is larger than the protocol allows."""
    kind = transaction.kind
    pures = [len(arg.value) for arg in kind.inputs if isinstance(arg, tx.Pure)]
    arguments = [len(command.arguments) for command in kind.commands if isinstance(command, tx.MoveCall)]
    for what, found, limit in (
        ("serialized transaction", len(data), _MAX_BYTES),
        ("number of commands", len(kind.commands), _MAX_COMMANDS),
        ("pure argument", max(pures, default=0), _MAX_PURE),
        ("number of arguments", max(arguments, default=0), _MAX_ARGUMENTS),
        ("number of inputs", len(kind.inputs), _MAX_INPUTS + 1),
        ("gas payment objects", len(transaction.gas.payment), _MAX_GAS_COINS + 1),
    ):
        if found >= limit:
            raise Refused(f"Size limit exceeded: {what} is {found}, maximum is {limit}")
    if not kind.commands:
        raise Refused("Empty command: a transaction needs at least one command")


def check_signatures(data: bytes, transaction: tx.TransactionData, signatures: Sequence[bytes]) -> None:
    """Refuse wrong, missing or spare signatures: one of the sender, and one of the gas owner where it is another."""
    signers = {transaction.sender, transaction.gas.owner}
    found: set[SuiAddress] = set()
    for signature in signatures:
        try:
            parse_signature(signature)
            found.add(verify(signature, data))
        except CodecError as error:
            raise Refused(f"Invalid user signature: Signature is not valid: {error.message}") from error
    if found != signers or len(signatures) != len(signers):
        wanted = ", ".join(sorted(map(str, signers)))
        signed = ", ".join(sorted(map(str, found)))
        raise Refused(f"Invalid user signature: Required Signature from {wanted} is absent. Found {signed}")


def check_validity(transaction: tx.TransactionData, genesis: Genesis, epoch: SuiEpoch, gas_price: int) -> None:
    """Refuse what has expired, is meant for another chain, or offers too little or too much gas.

    `gas_price` is the reference price, in MIST per computation unit.
    """
    expiration, gas = transaction.expiration, transaction.gas
    if isinstance(expiration, tx.EpochExpiration) and epoch > expiration.epoch:
        raise Refused("Transaction Expired")
    if isinstance(expiration, tx.ValidDuring):
        if expiration.chain != genesis.chain:
            raise Refused("Invalid chain id in the transaction's expiration")
        low, high = expiration.min_epoch or 0, expiration.max_epoch
        if epoch.number < low or (high is not None and epoch.number > high):
            raise Refused("Transaction Expired")
    if gas.price < gas_price:
        raise Refused(f"Gas price {gas.price} under reference gas price (RGP) {gas_price}")
    if gas.price >= 100_000:
        raise Refused("Gas price cannot exceed 100000 MIST")
    if gas.budget > MAX_BUDGET:
        raise Refused(f"Gas budget: {gas.budget} is higher than max: {MAX_BUDGET}")
    if gas.budget < 1_000 * gas.price:
        raise Refused(f"Gas budget: {gas.budget} is lower than min: {1_000 * gas.price}")


def check_inputs(store: Objects, transaction: tx.TransactionData) -> list[StoredObject]:
    """Return the gas coins, after refusing inputs that are missing, stale, foreign or named twice."""
    seen: set[ObjectId] = set()
    for arg in transaction.kind.inputs:
        if isinstance(arg, tx.SharedArg):
            _check_shared(store, arg)
            _once(seen, arg.id)
        elif isinstance(arg, tx.OwnedArg | tx.ReceivingArg):
            found = _check_owned(store, arg.ref)
            if found.owner.kind == "AddressOwner" and found.owner.id != transaction.sender.raw:
                raise Refused(
                    "Invalid user signature: Transaction was not signed by the correct sender: Object "
                    f"{found.id} is owned by account address {SuiAddress(found.owner.id)}, but given "
                    f"owner/signer address is {transaction.sender}"
                )
            if found.owner.kind in ("ObjectOwner", "Shared"):
                raise Refused(f"Object {found.id} is not owned by an address, it cannot be used as an owned input")
            _once(seen, arg.ref.id)
    return [_check_gas(store, transaction, ref, seen) for ref in transaction.gas.payment]


def _once(seen: set[ObjectId], id_: ObjectId) -> None:
    if id_ in seen:
        raise Refused(f"Mutable object {id_} cannot appear more than one in one transaction")
    seen.add(id_)


def _check_shared(store: Objects, arg: tx.SharedArg) -> None:
    found = store.get(arg.id)
    if found is None:
        raise Refused(f"Error checking transaction input objects: Object {arg.id} not found")
    if found.owner.kind != "Shared" or found.owner.initial_version != arg.initial_version:
        raise Refused(f"Error checking transaction input objects: Object {arg.id} is not shared from that version on")


def _check_owned(store: Objects, ref: ObjectRef) -> StoredObject:
    found = store.get(ref.id)
    if found is None:
        raise Refused(f"Error checking transaction input objects: Object {ref.id} not found")
    if ref.version > found.version:
        raise Refused(
            f"Error checking transaction input objects: Could not find the referenced object {ref.id} as the asked "
            f"version 0x{ref.version:x} is higher than the latest 0x{found.version:x}"
        )
    if ref.version < found.version:
        raise Refused(
            f"Error checking transaction input objects: object {ref.id} version 0x{ref.version:x} ({ref.digest}) is "
            f"unavailable for consumption, current version: 0x{found.version:x}"
        )
    if ref.digest != found.digest:
        raise Refused(f"Error checking transaction input objects: Invalid object digest for object {ref.id}")
    return found


def _check_gas(store: Objects, transaction: tx.TransactionData, ref: ObjectRef, seen: set[ObjectId]) -> StoredObject:
    coin = _check_owned(store, ref)
    if coin.owner.id != transaction.gas.owner.raw or not coin.type.endswith("::sui::SUI>"):
        raise Refused(f"Gas object {ref.id} is not a SUI coin of {transaction.gas.owner}")
    _once(seen, ref.id)
    return coin
