"""The columns of a roster, by what they are for, and their other names.

Only names: headers.py matches headings, values.py checks values.
"""

from __future__ import annotations

from types import MappingProxyType

#: `field:<name>` is sent to the LMS as the custom field <name>.
FIELD_PREFIX = "field:"

#: The columns that identify a person; a roster needs one of them, or rows that identify registrations.
PERSON_COLUMNS = ("candidate_id", "external_id", "email")
#: At some LMSs this identifies an existing registration, and with it the person.
REGISTRATION_COLUMN = "registration_external_id"
CANDIDATE_COLUMNS = (
    *PERSON_COLUMNS,
    "first_name",
    "last_name",
    "login_name",
    "date_of_birth",
    "address",
    "address2",
    "city",
    "state",
    "zip",
    "country",
    "expiration_date",
)
#: In order of priority, in case a row fills in more than one.
COURSE_COLUMNS = ("course_id", "course_name", "course_external_id")
COLUMNS = (
    *CANDIDATE_COLUMNS,
    *COURSE_COLUMNS,
    "legal_entity_id",
    "behavior",
    "registration_date",
    "registration_external_id",
    "action",
    "score",
    "success",
)
DATE_COLUMNS = ("date_of_birth", "expiration_date", "registration_date")
#: Columns in which a lost digit means another person or course.
ID_COLUMNS = frozenset(
    {
        "candidate_id",
        "external_id",
        "login_name",
        "course_id",
        "course_external_id",
        "legal_entity_id",
        "registration_external_id",
        "zip",
    }
)
#: The LMS's own ids, which are numbers: 1,234 is 1234.
LMS_NUMBER_COLUMNS = frozenset({"candidate_id", "course_id", "legal_entity_id"})
#: Columns in which the exact number of a cell counts, whatever its number format shows of it.
NUMBER_COLUMNS = frozenset({"score", "success", "behavior"})
#: Columns whose values are words: an apostrophe before them belongs to them ('t Hooft).
TEXT_COLUMNS = frozenset({"first_name", "last_name", "address", "address2", "city", "state", "course_name"})
#: Id columns whose values often have leading zeros.
ZERO_PADDED_COLUMNS = frozenset(
    {"external_id", "login_name", "course_external_id", "registration_external_id", "zip"}
)

#: Other names, as `headers.normalize_heading` returns them.
ALIASES = MappingProxyType(
    {
        "emailaddress": "email",
        "mail": "email",
        "useremail": "email",
        "forename": "first_name",
        "forenames": "first_name",
        "firstnames": "first_name",
        "givenname": "first_name",
        "givennames": "first_name",
        "surname": "last_name",
        "familyname": "last_name",
        "lastnames": "last_name",
        "dob": "date_of_birth",
        "birthdate": "date_of_birth",
        "dateofbirth(dob)": "date_of_birth",
        "login": "login_name",
        "loginid": "login_name",
        "username": "login_name",
        "sourcedid": "external_id",
        "sisid": "external_id",
        "userexternalid": "external_id",
        "address1": "address",
        "addressline1": "address",
        "addressline2": "address2",
        "zipcode": "zip",
        "postcode": "zip",
        "postalcode": "zip",
        "expirydate": "expiration_date",
        "experienceid": "course_id",
        "learningexperienceid": "course_id",
        "course1": "course_name",
        "behaviour": "behavior",
    }
)

#: Aliases that are used only when no other heading matches the column.
WEAK_ALIASES = MappingProxyType({"secondaryemail": "email"})

#: The LMS's own id in one system and the organization's in another: matched only by --map.
AMBIGUOUS = frozenset({"userid"})
