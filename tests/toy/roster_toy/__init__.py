"""A connector for a toy LMS, and the toy LMS: a package of its own, as somebody else would write one."""
