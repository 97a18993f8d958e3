"""One function per section of the report: `Material` in, `Section` out."""
