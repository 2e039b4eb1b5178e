"""Every GraphQL document that is sent, checked against the official schema by a test.

They are short: all of a request but the transaction counts against 5,000 bytes.
"""

from __future__ import annotations

__all__ = ["BALANCE", "COINS", "EXECUTE", "FIELDS", "OBJECTS", "OWNED", "SIMULATE", "STATE", "TRANSACTION"]

_OBJECT = (
    "address version digest "
    "owner{__typename ... on AddressOwner{address{address}} ... on Shared{initialSharedVersion}} "
    "previousTransaction{digest} asMoveObject{contents{type{repr} bcs}}"
)
_GAS = (
    "gasEffects{gasObject{address version digest}"
    " gasSummary{computationCost storageCost storageRebate nonRefundableStorageFee}}"
)
_ERROR = "executionError{message abortCode identifier constant module{name} function{name}}"
_EFFECTS = (
    f"digest status {_ERROR} effectsJson {_GAS} checkpoint{{sequenceNumber}}"
    " objectChanges(first:1024){pageInfo{hasNextPage}"
    " nodes{address idCreated idDeleted outputState{version digest owner{__typename}}}}"
)

STATE = (
    "query($keys:[ObjectKey!]!){chainIdentifier epoch{epochId referenceGasPrice}"
    f"multiGetObjects(keys:$keys){{{_OBJECT}}}}}"
)
"""The chain's id, its epoch, the gas price, and objects by id."""

OBJECTS = f"query($keys:[ObjectKey!]!){{multiGetObjects(keys:$keys){{{_OBJECT}}}}}"
"""Objects by id, `null` where there is none."""

FIELDS = (
    "query($id:SuiAddress!,$after:String){"
    f"object(address:$id){{{_OBJECT}}}"
    "address(address:$id){dynamicFields(first:50,after:$after){pageInfo{hasNextPage endCursor}"
    " nodes{name{type{repr} bcs} value{__typename ... on MoveValue{bcs}}}}}}"
)
"""An object and a page of its dynamic fields, from one moment."""

OWNED = (
    "query($owner:SuiAddress!,$type:String!,$after:String){"
    "address(address:$owner){objects(first:50,after:$after,filter:{type:$type}){pageInfo{hasNextPage endCursor}"
    " nodes{address version digest contents{type{repr} bcs}}}}}"
)
"""What an address owns, by type."""

COINS = OWNED
"""Coins are owned objects."""

BALANCE = "query($owner:SuiAddress!,$coin:String!){address(address:$owner){balance(coinType:$coin){totalBalance}}}"
"""What an address has of a coin."""

SIMULATE = f"query($t:JSON!){{simulateTransaction(transaction:$t){{effects{{status {_ERROR} effectsJson {_GAS}}}}}}}"
"""What a transaction would do."""

EXECUTE = (
    "mutation($t:Base64!,$s:[Base64!]!){"
    f"executeTransaction(transactionDataBcs:$t,signatures:$s){{effects{{{_EFFECTS}}}}}}}"
)
"""Send a signed transaction and wait for finality."""

TRANSACTION = f"query($d:String!){{transaction(digest:$d){{effects{{{_EFFECTS}}}}}}}"
"""A transaction by its digest."""
