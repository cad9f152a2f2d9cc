"""Drop folders: claim a file, open its job, archive it with its reports."""
