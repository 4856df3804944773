"""Every cap of the format, with the reason beside it (docs/spec.md, section "Limits").

A reader applies each cap before it allocates. Raising one needs a new format version, because older readers refuse.
"""

KIB = 1024
MIB = 1024 * KIB

DIRECTORY_MAX = 64 * KIB  # 64 entries of at most 138 bytes fit sevenfold
MANIFEST_MAX = 1 * MIB  # parsed before anything else that is signed; a real one is 2 to 256 KiB
SIGNATURES_MAX = 64 * KIB  # parsed before any signature holds
SIGNATURE_RECORDS_MAX = 16  # each costs one look-up and at most one verification
SIGNATURE_RECORD_MAX = 8 * KIB  # room for post-quantum signatures
EXAMPLE_MAX = 1 * MIB  # of example inputs, and of their predictions: a few rows; decoded into Python objects
DIGESTS_MAX = 64 * MIB  # 8 TiB at the default chunk size
INDEX_MAX = 64 * MIB  # two million arrays
TOTAL_MAX = 2**53 - 1  # exact in every JSON reader and in a float64

ENTRIES_MAX = 64
NAME_MIN = 2  # bytes of an entry's name
NAME_MAX = 64

CHUNK_SIZE_MIN = 64 * KIB
CHUNK_SIZE_MAX = 64 * MIB
CHUNK_SIZE_DEFAULT = 4 * MIB
DIGEST_SIZE = 32

ALIGNMENT = 4096  # of the payload's data: a page, so that it can be mapped and arrays keep their alignment
ZIP64_FROM = 2**32 - 1  # a size or offset from here on needs a zip64 field; this very size is refused when packing

DESCRIPTION_MAX = 128 * KIB  # of `model` and `training` in a manifest; larger values move into attachments
DESCRIPTION_ATTACHMENT_MAX = 16 * MIB  # of one that moved: the names of half a million features
NOTES_MAX = 1 * MIB  # bytes of a text that somebody is to read

MODEL_NAME_MAX = 128  # bytes of a model's name, "acme/churn"
MODEL_VERSION_MAX = 64  # characters; Python refuses to read numbers of more than 4,300 digits
WIRE_DEPTH_MAX = 32  # nesting of msgpack values
READ_SIZE = 1 * MIB  # read, then hash while the bytes are still in the cache
CLOCK_SKEW_SECONDS = 300  # an artifact created further in the future than this is refused

# What a payload may hold. Real models stay far below; the sum keeps the walk of a hostile file in bounded memory.
OPCODES_MAX = 2**28  # a minute of walking; 460,000 terms of a vocabulary are 1.4 million
MEMO_MAX = 2**25  # slots; a reader allocates the whole table for the highest one
STACK_MAX = 2**24  # values waiting between two marks; picklers put down a list after 1,000 items, a tuple at its end
DEPTH_MAX = 4096  # values inside one another: hashing and freeing nested tuples recurses in C
EXPANDED_MAX = 2**40  # values, shared ones counted each time: "billion laughs" through the memo
GLOBALS_MAX = 4096  # distinct ones; the manifest holds them all
GLOBAL_NAME_MAX = 255  # bytes of a module or of an attribute
INTEGER_BYTES_MAX = 1024  # of a LONG4; turning longer ones into text takes quadratic time
INTEGER_TEXT_MAX = 2048  # digits; CVE-2020-10735
COLLISIONS_MAX = 32  # keys with one hash; at most 13 integers of 64 bits share one
KEY_DEPTH_MAX = 32  # tuples inside a key
PARTS_MAX = 4096  # items of a tuple or dict that the walk looks into: fields of a structured dtype
PATHS_MAX = 3  # places that are named for each global
ARRAY_DIMENSIONS_MAX = 64  # as numpy 2
ARRAY_SIZE_MAX = 2**63 - 1  # bytes; numpy counts in signed 64 bits
EXPANSION_FREE = 64 * MIB  # that any compressed payload may expand to
EXPANSION_FACTOR = 256  # times its size, beyond that; trees and coefficients compress tenfold
LZMA_MEMORY_MAX = 128 * MIB  # of the decoder; the strongest preset needs 65
