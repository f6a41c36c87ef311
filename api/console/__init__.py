"""The console: calls, sessions, figures and health in a browser, offline.

It is a client of the public API and has no other way to anything: a page asks the API with the
token of the person who signed in, and the browser reaches the API through the same cookie.

    app         routes: sign-in, pages, static files, the API for the browser
    pages/      a page is one file: what it asks the API, and what its template gets
    live_rows   what a row of the live page shows, and which states take too long; pure
    proxy       /console/api/… is the API, with the token from the cookie
    sign_in     the cookie, and who may send what
    client      the API for the pages
    assets      scripts, styles and the chart library, with URLs that a browser may keep
    templates/, static/    HTML, JavaScript modules without a build step, one style sheet
"""
