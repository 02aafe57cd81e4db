"""The edge: methods, authentication, JSON, errors to status codes, pages."""
