"""Crawlers: the catalogue of who they are, and the lists of networks that their owners publish. It knows no policy."""
