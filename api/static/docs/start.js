const page = document.getElementById("docs");

SwaggerUIBundle({
  domNode: page,
  url: page.dataset.document,
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  // The token lives in this page only, and is gone with it.
  persistAuthorization: false,
  // The badge of the online validator is an image from another host.
  validatorUrl: null,
});
